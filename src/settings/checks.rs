//! What the types of settings do not say: ranges, addresses, secrets that are none.

use flagstone_layers::kernel::Environment;
use flagstone_pipeline::{Finding, Severity};
use flagstone_services::{
    accounts::{PasswordFault, check_password, is_email},
    store::DatabaseUrl,
};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

use super::{
    BadSetting, Settings,
    setting::{self, Kind},
};

/// The example that is shipped: whoever guesses tries its secrets first.
const EXAMPLE: &str = include_str!("../../.env.example");
/// The longest text of a setting, in bytes.
const LONGEST: usize = 4096;
/// The fewest characters of a database's password.
const SHORTEST_DATABASE_PASSWORD: usize = 12;

/// All that is wrong with settings whose types are right.
pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let mut found = values(settings);
    let parsed = [
        settings.listen().err(),
        settings.admin_listen().err(),
        settings.public_url().err(),
        database(settings),
        settings.redis.client().err(),
        email(settings),
        level(settings),
    ];
    found.extend(parsed.into_iter().flatten().map(|bad| error(bad.name, bad.problem, None)));
    found.extend(weak_secrets(settings));
    found
}

fn error(setting: &str, message: String, help: Option<&str>) -> Finding {
    Finding { setting: setting.to_owned(), severity: Severity::Error, message, help: help.map(str::to_owned) }
}

/// Numbers, durations and sizes out of range; texts that are no line.
fn values(settings: &Settings) -> Vec<Finding> {
    let shown = serde_json::to_value(settings).unwrap_or_default();
    let mut found = Vec::new();
    for setting in setting::all() {
        let of = if setting.section.is_empty() { Some(&shown) } else { shown.get(&setting.section) };
        let value = of.and_then(|of| of.get(&setting.key)).unwrap_or(&Value::Null);
        if let Some(problem) = setting.out_of_range(value) {
            found.push(error(&setting.name(), problem, None));
        }
        let text = value.as_str().filter(|_| setting.kind == Kind::Text).unwrap_or_default();
        if text.len() > LONGEST || text.contains(char::is_control) {
            let problem = "it is too long or holds control characters".to_owned();
            found.push(error(&setting.name(), problem, Some("write one line of text")));
        }
    }
    found
}

fn database(settings: &Settings) -> Option<BadSetting> {
    let error = DatabaseUrl::parse(settings.database.url.reveal()).err()?;
    Some(BadSetting { name: "database.url", problem: error.to_string() })
}

fn email(settings: &Settings) -> Option<BadSetting> {
    let email = &settings.admin.email;
    let problem = || format!("`{email}` is no e-mail address such as `admin@example.com`");
    (!is_email(email)).then(|| BadSetting { name: "admin.email", problem: problem() })
}

fn level(settings: &Settings) -> Option<BadSetting> {
    let level = &settings.log.level;
    let problem = match EnvFilter::try_new(level) {
        Ok(_) if !level.trim().is_empty() => return None,
        Ok(_) => "it is empty: write a level such as `info`".to_owned(),
        Err(error) => format!("`{level}` is no level such as `info`: {error}"),
    };
    Some(BadSetting { name: "log.level", problem })
}

/// Secrets that others can guess. On a developer's machine they are only a doubt.
fn weak_secrets(settings: &Settings) -> Vec<Finding> {
    let severity = match settings.environment {
        Environment::Production => Severity::Error,
        Environment::Development => Severity::Warning,
    };
    let weak = [
        ("admin.password", weak_admin_password(settings), "a few unrelated words make a good one"),
        ("database.url", weak_database_password(settings), "give the database's user a random password"),
        ("redis.url", weak_redis_password(settings), "give Redis a random password (`requirepass`)"),
    ];
    let found = weak.into_iter().filter_map(|(setting, problem, help)| Some((setting, problem?, help)));
    found
        .map(|(setting, message, help)| Finding {
            setting: setting.to_owned(),
            severity,
            message,
            help: Some(help.to_owned()),
        })
        .collect()
}

fn weak_admin_password(settings: &Settings) -> Option<String> {
    let password = settings.admin.password.reveal();
    if password.is_empty() {
        return None;
    }
    if is_example(password) {
        return Some("the password is the one of an example".to_owned());
    }
    check_password(password, &[&settings.admin.email]).err().map(|fault| fault.to_string())
}

fn weak_database_password(settings: &Settings) -> Option<String> {
    let url = DatabaseUrl::parse(settings.database.url.reveal()).ok()?;
    let (user, password) = url.login()?;
    if is_example(settings.database.url.reveal()) || is_example(&password) {
        return Some("the password is the one of an example".to_owned());
    }
    let short = password.chars().count() < SHORTEST_DATABASE_PASSWORD;
    // Of those rules only the one on what is common fits a password that nobody types.
    let common = matches!(check_password(&password, &[&user]), Err(PasswordFault::TooCommon));
    let is_users = !user.is_empty() && password.to_lowercase().contains(&user.to_lowercase());
    (short || common || is_users).then(|| {
        format!(
            "the password in it is common, that of its user, or has fewer than {SHORTEST_DATABASE_PASSWORD} characters"
        )
    })
}

/// One without a password is for a Redis that nobody else can reach.
fn weak_redis_password(settings: &Settings) -> Option<String> {
    let client = settings.redis.client().ok()??;
    let password = client.get_connection_info().redis_settings().password()?;
    let weak = is_example(settings.redis.url.reveal())
        || matches!(check_password(password, &[]), Err(PasswordFault::TooCommon));
    weak.then(|| "the password in it is common, or the one of an example".to_owned())
}

/// Whether a secret is a value of the shipped example, or the password in one.
fn is_example(secret: &str) -> bool {
    let values = EXAMPLE.lines().filter_map(|line| line.trim_start_matches(['#', ' ']).split_once('='));
    values.map(|(_, value)| value.trim()).filter(|value| !value.is_empty()).any(|value| {
        let login = || DatabaseUrl::parse(value).ok()?.login();
        value == secret || login().is_some_and(|(_, password)| *password == secret)
    })
}
