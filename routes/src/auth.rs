//! `/api/auth`: set-up, sign-in and one's own account.

use std::sync::Arc;

use flagstone_layers::kernel::{Access, Exchange, Problem, Response, RouteSpec};
use flagstone_services::{
    accounts::{
        ActiveSession, MAXIMUM_NAME_CHARACTERS, MAXIMUM_PASSWORD_BYTES, MINIMUM_PASSWORD_CHARACTERS, Session,
        Setup, SignIn, SignInError, SignedIn, User,
    },
    actor::{Actor, Identity},
    error::ServiceError,
    page::Page,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{COOKIE, SET_COOKIE, USER_AGENT},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    DELETE, GET, POST, Routes,
    context::Context,
    document::Document,
    openapi::{Members, Operation, of},
    problem::from_service,
    reply,
    state::State,
};

/// The session cookie over https: bound to this host, never sent in clear.
pub const SECURE_COOKIE: &str = "__Host-flagstone_session";
/// The session cookie over plain http, where browsers refuse the other one.
pub const PLAIN_COOKIE: &str = "flagstone_session";

/// What somebody must know before they sign in.
#[derive(Serialize, JsonSchema)]
struct AuthStatus {
    /// Whether the first administrator is still to be made.
    setup_required: bool,
    /// How people can sign in.
    methods: &'static [&'static str],
}

/// A person and the session they act in.
#[derive(Serialize, JsonSchema)]
struct Me<'a> {
    user: &'a User,
    session: &'a Session,
}

/// One of somebody's sessions, as they see it themselves.
#[derive(Serialize, JsonSchema)]
struct OwnSession<'a> {
    #[serde(flatten)]
    session: &'a Session,
    /// Whether it is the one that asks.
    current: bool,
}

const TAG: &str = "Sign-in";

pub(crate) fn add(routes: &mut Routes) {
    use Access::{Member, Public};
    routes.add(
        RouteSpec::new(GET, "/api/auth/status", "auth_status", Public),
        Operation::new(TAG, "How people can sign in").gives("What the server offers.", of::<AuthStatus>),
        status,
    );
    routes.add(
        RouteSpec::new(POST, "/api/auth/setup", "setup", Public),
        Operation::new(TAG, "Makes the first administrator and signs them in")
            .described("Only while there are no users, with the token that the server printed at its start.")
            .takes(
                set_up,
                json!({ "token": "…", "email": "ada@example.com", "password": "a long and quiet evening" }),
            )
            .answers(201, "The administrator, signed in.", "application/json", of::<Me<'_>>)
            .with_header("Set-Cookie")
            .meets(&[409]),
        setup,
    );
    routes.add(
        RouteSpec::new(POST, "/api/auth/login", "login", Public),
        Operation::new(TAG, "Signs in")
            .takes(credentials, json!({ "email": "ada@example.com", "password": "a long and quiet evening" }))
            .gives("The person and their new session.", of::<Me<'_>>)
            .with_header("Set-Cookie")
            .meets(&[401]),
        login,
    );
    routes.add(
        RouteSpec::new(POST, "/api/auth/logout", "logout", Member),
        Operation::new(TAG, "Ends the session").gives_nothing("It has ended.").with_header("Set-Cookie"),
        logout,
    );
    routes.add(
        RouteSpec::new(GET, "/api/auth/me", "me", Member),
        Operation::new(TAG, "Who is signed in").gives("The person and their session.", of::<Me<'_>>),
        me,
    );
    routes.add(
        RouteSpec::new(POST, "/api/auth/change-password", "change_password", Member),
        Operation::new(TAG, "Changes one's password and ends one's other sessions")
            .takes(passwords, json!({ "current_password": "a long and quiet evening", "new_password": "a short and noisy morning" }))
            .gives("The person and their new session.", of::<Me<'_>>)
            .with_header("Set-Cookie"),
        change_password,
    );
    routes.add(
        RouteSpec::new(GET, "/api/auth/sessions", "own_sessions", Member),
        Operation::new(TAG, "One's own sessions").gives("All of them.", of::<Page<OwnSession<'_>>>),
        sessions,
    );
    routes.add(
        RouteSpec::new(DELETE, "/api/auth/sessions/{id}", "end_own_session", Member),
        Operation::new(TAG, "Ends one of one's own sessions").gives_nothing("It has ended."),
        end_session,
    );
}

fn set_up(_: &mut SchemaGenerator) -> Schema {
    let name = json!({ "type": ["string", "null"], "maxLength": MAXIMUM_NAME_CHARACTERS });
    Members::new()
        .required("token", json!({ "type": "string" }))
        .required("email", json!({ "type": "string" }))
        .optional("name", name)
        .required("password", new_password())
        .schema()
}

fn credentials(_: &mut SchemaGenerator) -> Schema {
    let text = || json!({ "type": "string" });
    Members::new().required("email", text()).required("password", text()).schema()
}

fn passwords(_: &mut SchemaGenerator) -> Schema {
    Members::new()
        .required("current_password", json!({ "type": "string" }))
        .required("new_password", new_password())
        .schema()
}

fn new_password() -> Value {
    json!({ "type": "string", "minLength": MINIMUM_PASSWORD_CHARACTERS, "maxLength": MAXIMUM_PASSWORD_BYTES })
}

/// `GET /api/auth/status`
pub(crate) async fn status(context: Context) -> Result<Response, Problem> {
    let needed = context.state.services.accounts.setup_needed().await.map_err(from_service)?;
    Ok(reply::json(&AuthStatus { setup_required: needed, methods: &["local"] }))
}

/// `POST /api/auth/setup`
pub(crate) async fn setup(mut context: Context) -> Result<Response, Problem> {
    let mut document = Document::new(context.json().await?)?;
    let request = Setup {
        token: document.text("token"),
        email: document.text("email"),
        name: document.optional_text("name"),
        password: document.text("password").into(),
    };
    document.finish()?;
    let actor = actor_of(&context, Identity::Anonymous);
    let figures = &context.state.figures;
    let signed_in = match context.state.services.accounts.setup(&actor, request).await {
        Ok(signed_in) => signed_in,
        Err(error) => {
            match error {
                ServiceError::Unavailable { .. } | ServiceError::Internal(_) => {
                    figures.auth_attempt("setup", "error", "unavailable");
                }
                _ => figures.auth_attempt("setup", "failure", "refused"),
            }
            return Err(from_service(error));
        }
    };
    figures.auth_attempt("setup", "success", "");
    let mut response = signed_in_response(&context, &signed_in);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `POST /api/auth/login`
pub(crate) async fn login(mut context: Context) -> Result<Response, Problem> {
    let mut document = Document::new(context.json().await?)?;
    let (email, password) = (document.text("email"), document.text("password").into());
    document.finish()?;
    let previous = session_cookie(context.head.headers()).map(str::to_owned);
    let actor = actor_of(&context, Identity::Anonymous);
    let figures = &context.state.figures;
    match context.state.services.accounts.sign_in(&actor, SignIn { email, password, previous }).await {
        Ok(signed_in) => {
            figures.auth_attempt("password", "success", "");
            Ok(signed_in_response(&context, &signed_in))
        }
        Err(SignInError::Refused(refusal)) => {
            figures.auth_attempt("password", "failure", refusal.as_str());
            Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "INVALID_CREDENTIALS",
                "The e-mail address or the password is wrong, or there were too many attempts.",
            ))
        }
        Err(SignInError::Service(error)) => {
            figures.auth_attempt("password", "error", "unavailable");
            Err(from_service(error))
        }
    }
}

/// `POST /api/auth/logout`
pub(crate) async fn logout(context: Context) -> Result<Response, Problem> {
    let token = session_cookie(context.head.headers()).unwrap_or_default();
    let actor = actor(&context)?;
    context.state.services.accounts.sign_out(&actor, token).await.map_err(from_service)?;
    let mut response = reply::no_content();
    let headers = response.headers_mut();
    for cookie in [SECURE_COOKIE, PLAIN_COOKIE] {
        let secure = if cookie == SECURE_COOKIE { "; Secure" } else { "" };
        append_cookie(headers, &format!("{cookie}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}"));
    }
    headers.insert("clear-site-data", HeaderValue::from_static("\"cache\", \"cookies\", \"storage\""));
    Ok(response)
}

/// `GET /api/auth/me`
pub(crate) async fn me(context: Context) -> Result<Response, Problem> {
    let active: Arc<ActiveSession> = context.attached()?;
    Ok(reply::json(&Me { user: &active.user, session: &active.session }))
}

/// `POST /api/auth/change-password`
pub(crate) async fn change_password(mut context: Context) -> Result<Response, Problem> {
    let mut document = Document::new(context.json().await?)?;
    let (current, new) = (document.text("current_password").into(), document.text("new_password").into());
    document.finish()?;
    let actor = actor(&context)?;
    let accounts = &context.state.services.accounts;
    let signed_in = accounts.change_password(&actor, current, new).await.map_err(from_service)?;
    Ok(signed_in_response(&context, &signed_in))
}

/// `GET /api/auth/sessions`: one's own.
pub(crate) async fn sessions(context: Context) -> Result<Response, Problem> {
    let active: Arc<ActiveSession> = context.attached()?;
    let sessions = context.state.services.accounts.sessions(active.user.id).await.map_err(from_service)?;
    let data: Vec<_> = sessions
        .iter()
        .map(|session| OwnSession { session, current: session.id == active.session.id })
        .collect();
    Ok(reply::whole_list(&data))
}

/// `DELETE /api/auth/sessions/{id}`: one of one's own.
pub(crate) async fn end_session(context: Context) -> Result<Response, Problem> {
    let id = context.parameter("id")?.parse().map_err(|_| from_service(ServiceError::NotFound("session")))?;
    let actor = actor(&context)?;
    context.state.services.accounts.end_session(&actor, id).await.map_err(from_service)?;
    Ok(reply::no_content())
}

/// Who acts: the user of the session, from where the request comes.
pub(crate) fn actor(context: &Context) -> Result<Actor, Problem> {
    let active: Arc<ActiveSession> = context.attached()?;
    Ok(actor_of(context, active.user.identity()))
}

fn actor_of(context: &Context, identity: Identity) -> Actor {
    let exchange = context.exchange();
    Actor {
        identity,
        address: exchange.address(),
        user_agent: context.header(&USER_AGENT).map(str::to_owned),
        request_id: exchange.request_id().map(ToString::to_string),
    }
}

fn signed_in_response(context: &Context, signed_in: &SignedIn) -> Response {
    let mut response = reply::json(&Me { user: &signed_in.user, session: &signed_in.session });
    let secret = signed_in.token.reveal();
    let cookie = if is_https(&context.state, context.exchange()) {
        format!("{SECURE_COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax; Secure")
    } else {
        format!("{PLAIN_COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax")
    };
    append_cookie(response.headers_mut(), &cookie);
    reply::secret(context.exchange(), response)
}

fn append_cookie(headers: &mut HeaderMap, cookie: &str) {
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        headers.append(SET_COOKIE, value);
    }
}

/// Whether the client reaches us by https, by what a trusted proxy says or by the address people use.
fn is_https(state: &State, exchange: &Exchange) -> bool {
    exchange.is_secure() || state.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
}

/// The session token among the request's cookies.
fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = || {
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(';'))
    };
    [SECURE_COOKIE, PLAIN_COOKIE]
        .into_iter()
        .find_map(|name| cookies().find_map(|cookie| cookie.trim().strip_prefix(name)?.strip_prefix('=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_found_among_cookies() {
        let headers = |text: &str| HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(text).unwrap())]);
        assert_eq!(session_cookie(&headers("a=1; flagstone_session=x; b=2")), Some("x"));
        assert_eq!(session_cookie(&headers("flagstone_session=x; __Host-flagstone_session=y")), Some("y"));
        assert_eq!(session_cookie(&headers("xflagstone_session=x; flagstone_sessionx=y")), None);
    }
}
