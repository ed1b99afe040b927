//! `flagstone user`: works on the database itself, beside a running server or without one.

use std::{
    io::{BufRead, IsTerminal},
    path::Path,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use flagstone_services::{
    Services,
    accounts::{NewUser, Password},
    actor::{Actor, Role},
    error::ServiceError,
};

use zeroize::Zeroizing;

use super::{Exit, ReportFormat, block_on, fail, load_settings};
use crate::app;

/// Room for a password from the start: a text that grows leaves pieces behind.
const LONGEST_LINE: usize = 4096;

/// Subcommands of `user`.
#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Make a user; the password is read from standard input
    Create(Create),
    /// Give a user another password, read from standard input; their sessions end
    SetPassword(SetPassword),
    /// Print a new one-time token for making the first administrator
    SetupToken,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The e-mail address
    email: String,
    /// What they may do
    #[arg(long, value_enum, default_value_t = RoleName::Member)]
    role: RoleName,
    /// What to call them
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct SetPassword {
    /// The e-mail address
    email: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    Admin,
    Member,
}

impl User {
    pub(super) fn run(self, config: &Path) -> Exit {
        let loaded = match load_settings(config, ReportFormat::Human) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        block_on(async {
            let services = match app::open_services(&loaded.settings).await {
                Ok(services) => services,
                Err(error) => return fail(error),
            };
            let done = self.apply(&services).await;
            let closed = services.close(Duration::from_secs(5)).await;
            match done.and(closed.map_err(Fault::from)) {
                Ok(()) => Exit::Done,
                Err(fault) => fail(fault),
            }
        })
    }

    async fn apply(self, services: &Services) -> Result<(), Fault> {
        let accounts = &services.accounts;
        match self {
            Self::Create(Create { email, role, name }) => {
                let role = match role {
                    RoleName::Admin => Role::Admin,
                    RoleName::Member => Role::Member,
                };
                let new = NewUser { email, name, role, password: read_password()? };
                let user = accounts.create_user(&Actor::cli(), new).await?;
                say!("made {} ({})", user.email, user.role.as_str());
            }
            Self::SetPassword(SetPassword { email }) => {
                let user = accounts.set_password(&Actor::cli(), &email, read_password()?).await?;
                say!("{} has another password; their sessions ended", user.email);
            }
            Self::SetupToken => {
                say!("{}", accounts.new_setup_token(&Actor::cli()).await?.reveal());
            }
        }
        Ok(())
    }
}

/// Why a command did not do as asked.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("standard input: {0}")]
    Input(#[from] std::io::Error),
    #[error("no password was given")]
    NoPassword,
    #[error("{}", described(.0))]
    Service(#[from] ServiceError),
}

/// A service's error with all its faults, for a person.
fn described(error: &ServiceError) -> String {
    match error {
        ServiceError::Invalid(faults) => {
            let faults: Vec<String> = faults
                .iter()
                .map(|fault| format!("{}: {}", fault.pointer.trim_start_matches('/'), fault.detail))
                .collect();
            faults.join("; ")
        }
        other => other.to_string(),
    }
}

/// The first line of standard input. A terminal is told what is waited for.
fn read_password() -> Result<Password, Fault> {
    let input = std::io::stdin();
    if input.is_terminal() {
        super::write_error(format_args!("Password (shown as you type; pipe it in to avoid that): "));
    }
    let mut line = Zeroizing::new(String::with_capacity(LONGEST_LINE));
    input.lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() { Err(Fault::NoPassword) } else { Ok(password.into()) }
}
