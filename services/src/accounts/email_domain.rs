//! Whether a domain takes e-mail at all, as DNS has it (R42): a mistyped domain is found when it is written and not
//! when nobody gets the message. Optional: many servers stand where no DNS answers.

use std::fmt;
use std::time::Duration;

use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::time::timeout;

/// All questions about one domain take no longer; afterwards it counts as unknown.
const TIMEOUT: Duration = Duration::from_secs(3);
/// One question to one name server.
const QUESTION: Duration = Duration::from_secs(1);
/// Answers kept.
const CACHED: u64 = 256;

/// Asks DNS for mail domains.
pub struct EmailDomains {
    resolver: TokioResolver,
}

/// What DNS says of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It takes e-mail.
    Possible,
    /// It does not exist, has no address, or says that it takes none (RFC 7505).
    Impossible,
    /// No answer. Nobody is refused because DNS is away.
    Unknown,
}

/// Why DNS cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("the name servers of this machine cannot be found: {0}")]
pub struct NoNameServers(String);

impl EmailDomains {
    /// Asks the name servers of this machine (`/etc/resolv.conf`).
    ///
    /// # Errors
    /// [`NoNameServers`] where it has none.
    pub fn of_this_machine() -> Result<Self, NoNameServers> {
        Self::build(TokioResolver::builder_tokio().map_err(NoNameServers::from)?)
    }

    /// Asks these name servers.
    ///
    /// # Errors
    /// [`NoNameServers`] where the configuration makes no resolver.
    pub fn with(servers: ResolverConfig) -> Result<Self, NoNameServers> {
        Self::build(TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default()))
    }

    fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<Self, NoNameServers> {
        let options = builder.options_mut();
        options.timeout = QUESTION;
        options.attempts = 2;
        options.cache_size = CACHED;
        Ok(Self { resolver: builder.build()? })
    }

    /// Whether the domain of an address takes e-mail. `admin@localhost` and the like are not for DNS.
    pub(super) async fn delivery(&self, email: &str) -> Delivery {
        let Some((_, domain)) = email.rsplit_once('@').filter(|(_, domain)| domain.contains('.')) else {
            return Delivery::Possible;
        };
        // The dot at the end: no search list of this machine.
        let Ok(domain) = Name::from_ascii(format!("{domain}.")) else { return Delivery::Impossible };
        timeout(TIMEOUT, self.ask(domain)).await.unwrap_or(Delivery::Unknown)
    }

    async fn ask(&self, domain: Name) -> Delivery {
        match self.resolver.mx_lookup(domain.clone()).await {
            Ok(found) => {
                let taken = found.answers().iter().any(|record| match &record.data {
                    RData::MX(mx) => !mx.exchange.is_root(),
                    _ => false,
                });
                if taken { Delivery::Possible } else { Delivery::Impossible }
            }
            Err(error) if error.is_nx_domain() => Delivery::Impossible,
            // RFC 5321 §5.1: without mail servers the host of that name is the one.
            Err(error) if error.is_no_records_found() => match self.resolver.lookup_ip(domain).await {
                Ok(found) if found.iter().next().is_some() => Delivery::Possible,
                Ok(_) => Delivery::Impossible,
                Err(error) if error.is_nx_domain() || error.is_no_records_found() => Delivery::Impossible,
                Err(_) => Delivery::Unknown,
            },
            Err(_) => Delivery::Unknown,
        }
    }
}

impl fmt::Debug for EmailDomains {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EmailDomains").finish_non_exhaustive()
    }
}

impl From<NetError> for NoNameServers {
    fn from(error: NetError) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests;
