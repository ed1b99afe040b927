//! Adapts the services to the layers: who a credential belongs to.

use std::{sync::Arc, time::Duration};

use flagstone_layers::kernel::{
    AuthFailure, Authentication, Authenticator, Credential, Principal, PrincipalKind,
};
use flagstone_services::{
    Services,
    accounts::{ActiveSession, SessionError},
    actor::Role,
    error::ServiceError,
    keys::{KeyGrant, KeyKind},
};

/// When to try again where the services do not say.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Checks credentials against the services.
pub(crate) struct Principals {
    services: Arc<Services>,
}

impl Principals {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        Self { services }
    }

    fn session(&self, token: &str) -> Authentication {
        if let Some(known) = self.services.accounts.verify_cached(token) {
            return answer(known.map(user).map_err(|error| failure(&error)));
        }
        let verified = self.services.accounts.verify(token);
        Authentication::Wait(Box::pin(
            async move { verified.await.map(user).map_err(|error| failure(&error)) },
        ))
    }
}

impl Authenticator for Principals {
    fn authenticate(&self, credential: Credential<'_>) -> Authentication {
        match credential {
            Credential::Session(token) => self.session(token),
            Credential::SdkKey(key) => {
                answer(self.services.keys.verify(key).map(sdk_key).ok_or(AuthFailure::Invalid))
            }
            Credential::StreamToken(token) => {
                answer(self.services.stream_tokens.verify(token).map(stream).ok_or(AuthFailure::Invalid))
            }
        }
    }
}

fn answer(found: Result<Principal, AuthFailure>) -> Authentication {
    match found {
        Ok(principal) => Authentication::Accepted(principal),
        Err(failure) => Authentication::Refused(failure),
    }
}

fn user(active: Arc<ActiveSession>) -> Principal {
    let kind = match active.user.role {
        Role::Admin => PrincipalKind::Admin,
        Role::Member => PrincipalKind::Member,
    };
    Principal::new(kind, Arc::clone(&active.principal_id)).with_attachment(active)
}

fn sdk_key(grant: Arc<KeyGrant>) -> Principal {
    let kind = match grant.kind {
        KeyKind::Client => PrincipalKind::ClientKey,
        KeyKind::Server => PrincipalKind::ServerKey,
    };
    of_grant(kind, grant)
}

fn stream(grant: Arc<KeyGrant>) -> Principal {
    of_grant(PrincipalKind::StreamToken, grant)
}

fn of_grant(kind: PrincipalKind, grant: Arc<KeyGrant>) -> Principal {
    Principal::new(kind, Arc::clone(&grant.id_text))
        .with_context(Arc::clone(&grant.environment.context))
        .with_attachment(grant)
}

fn failure(error: &SessionError) -> AuthFailure {
    match error {
        SessionError::Invalid => AuthFailure::Invalid,
        SessionError::Expired => AuthFailure::Expired,
        SessionError::Service(ServiceError::Unavailable { retry_after, .. }) => {
            AuthFailure::Unavailable { retry_after: *retry_after }
        }
        SessionError::Service(error) => {
            tracing::error!(%error, "a session could not be verified");
            AuthFailure::Unavailable { retry_after: RETRY_AFTER }
        }
    }
}
