use std::{collections::HashMap, fs};

use flagstone_pipeline::{Format, Report, SettingsSource};
use tempfile::TempDir;

use super::{
    setting::{Kind, Setting},
    *,
};

/// A configuration folder, and variables that stand for the process's.
struct Place {
    folder: TempDir,
    variables: HashMap<String, String>,
}

impl Place {
    fn new(file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), file).unwrap();
        Self { folder, variables: HashMap::new() }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn read(&self) -> Result<Loaded, Report> {
        let names: Vec<String> = self.variables.keys().cloned().collect();
        let known = self.variables.clone();
        let variables: Variables =
            Arc::new(move |name| known.get(name).filter(|value| !value.is_empty()).cloned());
        Loaded::read(self.folder.path(), &names, &variables)
    }

    fn refused(&self) -> String {
        self.read().err().map(|report| report.render(Format::Short, false)).expect("it is refused")
    }
}

/// A file with one setting.
fn file_with(setting: &Setting, value: &str) -> String {
    match setting.section.as_str() {
        "" => format!("{} = {value}\n", setting.key),
        section => format!("# a line\n[{section}]\n{} = {value}\n", setting.key),
    }
}

/// What a setting does not take: as it stands in the file, and as a variable holds it.
fn bad_values(setting: &Setting) -> Vec<&'static str> {
    match (setting.kind.clone(), setting.name().as_str()) {
        (Kind::Boolean, _) => vec!["1", "\"perhaps\"", "[]"],
        (Kind::Choice(_), _) => vec!["\"\"", "\"perhaps\"", "5", "true"],
        (Kind::List, _) => vec!["\"perhaps\"", "5", "[\"10.0.0.0/33\"]"],
        (Kind::Number, _) => vec!["0", "-1", "\"\"", "\"many\"", "1.5", "4611686018427387904"],
        (Kind::Size, _) => vec!["0", "-1", "\"\"", "\"64K\"", "\"5s\"", "4611686018427387904"],
        (Kind::Time, _) => vec!["-1", "\"\"", "\"5 apples\"", "\"5MiB\"", "4611686018427387904"],
        (Kind::Text, "server.listen") => vec!["\"\"", "\"nowhere\"", "\"localhost\"", "\"[::1]:70000\"", "5"],
        (Kind::Text, "server.admin_listen") => vec!["\"\"", "\"0.0.0.0:8081\"", "\"nowhere\"", "5"],
        (Kind::Text, "server.port") => vec!["\"http\"", "\"70000\"", "\"-1\"", "[]"],
        (Kind::Text, "database.url") => vec!["\"\"", "\"sqlite:\"", "\"mysql://db/flags\"", "5"],
        (Kind::Text, "redis.url") => vec!["\"localhost\"", "\"http://localhost\"", "\"redis://\"", "5"],
        (Kind::Text, "log.level") => vec!["\"\"", "\"flagstone=loud\"", "5"],
        (Kind::Text, "admin.email") => vec!["\"\"", "\"nobody\"", "\"a b@example.com\"", "5"],
        (Kind::Text, "admin.password") => vec!["\"short\"", "\"changeme\"", "5", "\"a\\u0007b\""],
        (Kind::Text, "public_url") => vec!["\"flags.example.com\"", "\"ftp://example.com\"", "5"],
        // Anything that is a line.
        (Kind::Text, _) => vec!["5", "true", "\"a\\nb\"", "\"\\u0007\""],
    }
}

/// One that is as good as the default, and another.
fn other_value(setting: &Setting) -> String {
    let text = match (&setting.kind, setting.name().as_str()) {
        (Kind::Boolean, _) => return (setting.default != true).to_string(),
        (Kind::Number, _) => return (setting.default.as_u64().unwrap() + 1).to_string(),
        (Kind::Choice(choices), _) => choices.iter().find(|one| setting.default != **one).unwrap().clone(),
        (Kind::List, _) => "10.0.0.0/8".to_owned(),
        (Kind::Size, _) => "100KiB".to_owned(),
        (Kind::Time, _) => "1m".to_owned(),
        (Kind::Text, "server.listen" | "server.admin_listen") => "127.0.0.1:9000".to_owned(),
        (Kind::Text, "server.port") => "9000".to_owned(),
        (Kind::Text, "database.url") => "postgres://flags:Xw7-otter-gravel-9@db/flags".to_owned(),
        (Kind::Text, "redis.url") => "redis://:Xw7-otter-gravel-9@cache:6379/0".to_owned(),
        (Kind::Text, "log.level") => "debug".to_owned(),
        (Kind::Text, "admin.email") => "ann@example.com".to_owned(),
        (Kind::Text, "admin.password") => "violin gravel otter seventeen".to_owned(),
        (Kind::Text, "public_url") => "https://flags.example.com".to_owned(),
        (Kind::Text, _) => "another".to_owned(),
    };
    format!("\"{text}\"")
}

#[test]
fn the_defaults_of_the_types_are_those_of_the_shipped_file() {
    let shipped = include_str!("../../config/flagstone.toml");
    let read = Place::new(shipped).read().unwrap();
    assert_eq!(read.settings, Settings::default());
    assert!(read.warnings.diagnostics.is_empty());
    for setting in setting::all() {
        let section = if setting.section.is_empty() {
            shipped
        } else {
            let (_, rest) = shipped.split_once(&format!("[{}]\n", setting.section)).unwrap();
            rest.split("\n[").next().unwrap()
        };
        let line = format!("{} = ", setting.key);
        assert!(
            section.lines().any(|found| found.starts_with(&line)),
            "{} is not in the file",
            setting.name()
        );
        assert!(!setting.description.is_empty(), "{}", setting.name());
        let bounded = matches!(setting.kind, Kind::Number | Kind::Size | Kind::Time);
        assert_eq!(setting.range.is_some(), bounded, "{} has no range", setting.name());
    }
}

#[test]
fn each_setting_refuses_bad_values_and_says_which_where_and_what_to_do() {
    for setting in setting::all() {
        let name = setting.name();
        for value in bad_values(setting) {
            let said = Place::new(&file_with(setting, value)).refused();
            let line = if setting.section.is_empty() { ":1:" } else { ":3:" };
            assert!(said.contains(&format!("{FILE}{line}")), "{name} = {value}: {said}");
            assert!(said.contains(&format!("`{name}`")), "{name} = {value}: {said}");
            let remedies = [
                "write",
                "expected",
                "outside of",
                "to be a number",
                "must start with",
                "password",
                "no sign-in",
                "is no ",
                "from 0 to",
            ];
            assert!(remedies.iter().any(|remedy| said.contains(remedy)), "{name} = {value}: {said}");

            // A variable holds text: what is a number there is one. An empty one is none.
            let text = value.trim_matches('"');
            let is_text = matches!(setting.kind, Kind::Text | Kind::Choice(_)) && !value.starts_with('"');
            if text.is_empty() || is_text || text.contains('\\') || value.starts_with('[') {
                continue;
            }
            let variable = setting.variable();
            let said = Place::new("[server]\n").variable(&variable, text).refused();
            assert!(
                said.contains(&variable) && said.contains("environment:1:1"),
                "{variable}={text}: {said}"
            );
        }
    }
}

#[test]
fn the_ends_of_each_range_are_taken_and_what_lies_beyond_is_not() {
    for setting in setting::all() {
        let Some((least, most)) = &setting.range else { continue };
        let number = setting.kind == Kind::Number;
        for end in [least, most] {
            let value = if number { end.clone() } else { format!("\"{end}\"") };
            Place::new(&file_with(setting, &value)).read().unwrap_or_else(|said| panic!("{end}: {said}"));
        }
        let bare = |end: &str| match setting.kind {
            Kind::Time => end.parse::<Time>().unwrap().0.as_millis(),
            Kind::Size => end.parse::<Size>().unwrap().0.into(),
            _ => end.parse().unwrap(),
        };
        for beyond in [Some(bare(most) + 1), bare(least).checked_sub(1)].into_iter().flatten() {
            let said = Place::new(&file_with(setting, &beyond.to_string())).refused();
            assert!(said.contains("outside of"), "{said}");
        }
    }
}

#[test]
fn each_setting_can_be_set_by_its_variable_and_by_a_file() {
    for setting in setting::all() {
        let value = other_value(setting);
        let from_file = Place::new(&file_with(setting, &value)).read().unwrap().settings;
        assert_ne!(from_file, Settings::default(), "{}", setting.name());
        let text = value.trim_matches('"');
        let by_variable = Place::new("[server]\n").variable(&setting.variable(), text).read().unwrap();
        assert_eq!(by_variable.settings, from_file, "{}", setting.name());
        let place = Place::new("[server]\n");
        let path = place.folder.path().join("value");
        fs::write(&path, format!("{text}\n")).unwrap();
        let named = format!("{}_FILE", setting.variable());
        let place = place.variable(&named, path.to_str().unwrap());
        let by_named_file = place.read().unwrap();
        assert_eq!(by_named_file.settings, from_file, "{}", setting.name());
        assert!(by_named_file.paths().contains(&path), "it is watched");
        let said = place.variable(&setting.variable(), text).refused();
        assert!(said.contains("both set"), "{said}");
    }
}

#[test]
fn each_setting_that_changes_asks_for_a_restart_by_name() {
    for setting in setting::all() {
        let place = Place::new("[server]\n");
        let loaded = place.read().unwrap();
        assert!(loaded.changed().is_empty());
        fs::write(place.folder.path().join(FILE), file_with(setting, &other_value(setting))).unwrap();
        assert_eq!(loaded.changed(), [setting.name()]);
        fs::write(place.folder.path().join(FILE), "[server]\nlisten = 5\n").unwrap();
        assert!(loaded.changed().is_empty(), "what cannot be read changes nothing");
    }
}

#[test]
fn what_a_file_holds_that_the_settings_came_to_name_is_looked_at_too() {
    let place = Place::new("public_url = \"\"\n");
    let loaded = place.read().unwrap();
    let value = place.folder.path().join("url");
    let named = format!("public_url = {{ file = {:?} }}\n", value.to_str().unwrap());
    fs::write(&value, "https://flags.example.com").unwrap();
    fs::write(place.folder.path().join(FILE), named).unwrap();
    assert_eq!(loaded.changed(), ["public_url"]);
    assert_eq!(loaded.changed(), ["public_url"], "it stays as it is");
    fs::write(&value, "https://flags.example.net").unwrap();
    let now = place.read().unwrap();
    assert!(now.changed().is_empty());
    assert_eq!(loaded.changed(), ["public_url"]);
    fs::remove_file(&value).unwrap();
    assert!(loaded.changed().is_empty(), "what cannot be read changes nothing");
    fs::write(place.folder.path().join(FILE), "public_url = \"\"\n").unwrap();
    assert!(loaded.changed().is_empty() && now.changed() == ["public_url"], "it is as it was");
}

#[test]
fn a_secret_that_changes_into_another_of_the_same_look_is_noticed() {
    let url = |password: &str| format!("[database]\nurl = \"postgres://flags:{password}@db/flags\"\n");
    let place = Place::new(&url("Xw7-otter-gravel-9"));
    let loaded = place.read().unwrap();
    fs::write(place.folder.path().join(FILE), url("Xw7-otter-gravel-8")).unwrap();
    assert_eq!(loaded.changed(), ["database.url"]);
}

#[test]
fn every_secret_is_known_as_one() {
    let settings = Settings::default();
    let mut known: Vec<&str> = settings.secrets().into_iter().map(|(name, _)| name).collect();
    known.sort_unstable();
    let marked: Vec<String> =
        setting::all().iter().filter(|setting| setting.is_secret).map(|setting| setting.name()).collect();
    assert_eq!(known, marked);
}

#[test]
fn unknown_settings_are_refused_with_the_nearest_name() {
    for (file, meant) in [
        ("[server]\nlistne = \"127.0.0.1:1\"\n", "did you mean `listen`?"),
        ("[servr]\nlisten = \"127.0.0.1:1\"\n", "did you mean `server`?"),
        ("enviroment = \"production\"\n", "did you mean `environment`?"),
        ("[server]\nlevel = \"info\"\n", "did you mean `log.level`?"),
    ] {
        let said = Place::new(file).refused();
        assert!(said.contains(meant) && said.contains("unknown-setting"), "{file}: {said}");
    }
    for (variable, meant) in [
        ("FLAGSTONE_SERVR__LISTEN", "FLAGSTONE_SERVER__LISTEN"),
        ("FLAGSTONE_SERVER__LISTN", "FLAGSTONE_SERVER__LISTEN"),
        ("FLAGSTONE_ADMIN__PASWORD_FILE", "FLAGSTONE_ADMIN__PASSWORD"),
    ] {
        let said = Place::new("[server]\n").variable(variable, "x").refused();
        assert!(said.contains(variable) && said.contains(&format!("`{meant}`")), "{said}");
    }
    let said = Place::new("[server]\nlistne = 1\nmax_headers = 0\n[log]\nformat = \"yaml\"\n").refused();
    assert!(said.contains("listne") && said.contains("log.format"), "all at once: {said}");
}

#[test]
fn a_variable_without_two_underscores_may_be_somebody_elses() {
    // What an orchestrator makes for a service named `flagstone`, and one that is nearly a setting.
    let place = Place::new("[server]\n")
        .variable("FLAGSTONE_PORT_8080_TCP_ADDR", "10.0.0.1")
        .variable("FLAGSTONE_SERVER_LISTEN", "127.0.0.1:1");
    let loaded = place.read().unwrap();
    let warnings = loaded.warnings.render(Format::Short, false);
    assert_eq!(loaded.warnings.diagnostics.len(), 1, "{warnings}");
    assert!(warnings.contains("did you mean `FLAGSTONE_SERVER__LISTEN`?"), "{warnings}");
}

#[test]
fn secrets_that_others_can_guess_are_refused_in_production_and_a_doubt_in_development() {
    for (variable, value) in [
        ("FLAGSTONE_ADMIN__PASSWORD", "changeme"),
        ("FLAGSTONE_ADMIN__PASSWORD", "put words of your own here"),
        ("FLAGSTONE_ADMIN__PASSWORD", "Password-Password-1"),
        ("FLAGSTONE_ADMIN__PASSWORD", "admin@localhost"),
        ("FLAGSTONE_DATABASE__URL", "postgres://postgres:postgres@localhost/flags"),
        ("FLAGSTONE_DATABASE__URL", "postgres://flags:flags-flags-flags@localhost/flags"),
        ("FLAGSTONE_DATABASE__URL", "postgres://flags@localhost/flags?password=secret"),
        ("FLAGSTONE_DATABASE__URL", "postgres://other:put-a-random-one-here@10.0.0.1/x"),
        ("FLAGSTONE_DATABASE__URL", "postgres://flags:passwordpassword@localhost/flags"),
    ] {
        let production = Place::new("[server]\n").variable(variable, value);
        let said = production.refused();
        assert!(said.contains("password") && said.contains("environment:1:1"), "{value}: {said}");
        assert!(!said.contains(value), "{said}");
        let development = production.variable("FLAGSTONE_ENVIRONMENT", "development").read().unwrap();
        let warnings = development.warnings.render(Format::Short, false);
        assert!(warnings.contains("warning[settings]") && !warnings.contains(value), "{value}: {warnings}");
    }
    for (variable, value) in [
        ("FLAGSTONE_ADMIN__PASSWORD", "violin gravel otter seventeen"),
        ("FLAGSTONE_DATABASE__URL", "postgres://flags:kT;[w^)}=]'~@localhost/flags"),
        ("FLAGSTONE_DATABASE__URL", "postgres://flags@localhost/flags"),
    ] {
        let loaded = Place::new("[server]\n").variable(variable, value).read();
        assert!(loaded.is_ok_and(|loaded| loaded.warnings.diagnostics.is_empty()), "{value}");
    }
}

#[test]
fn the_example_names_every_variable_that_the_shipped_files_bind() {
    let example = include_str!("../../.env.example");
    let lines = example.lines().map(|line| line.trim_start_matches(['#', ' ']));
    let names = lines.filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let shown: std::collections::BTreeSet<&str> =
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')).collect();
    let files = [include_str!("../../config/flagstone.toml"), include_str!("../../config/pipeline.toml")];
    let bound: Vec<String> =
        files.into_iter().flat_map(reference::bindings).flat_map(|binding| binding.variables).collect();
    assert!(bound.len() > 20, "{bound:?}");
    for name in &bound {
        assert!(shown.contains(name.as_str()), "{name} is not in .env.example");
    }
    for name in shown {
        let value_of = name.strip_suffix("_FILE").filter(|name| bound.iter().any(|bound| bound == name));
        assert!(value_of.is_some() || bound.iter().any(|bound| bound == name), "nothing binds {name}");
    }
}
