//! Where requests carry their credentials.

use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, COOKIE},
};

use super::spec::{Config, Method};
use crate::kernel::{Credential, RequestHead};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The query parameter of a stream's token.
const TOKEN: &str = "token";

/// What was found in a request.
pub(super) enum Found<'a> {
    Credential(Credential<'a>),
    Malformed,
    None,
}

/// The credential of the first method that finds one.
pub(super) fn find<'a>(head: &'a RequestHead, config: &Config) -> Found<'a> {
    for method in &config.methods {
        let found = match method {
            Method::Session => session(head.headers(), &config.cookies),
            Method::SdkKey => sdk_key(head.headers()),
            Method::StreamToken => stream_token(head.uri().query()),
        };
        if !matches!(found, Found::None) {
            return found;
        }
    }
    Found::None
}

/// A session cookie. The first name of the list counts; one name with two values is nobody's browser.
fn session<'a>(headers: &'a HeaderMap, names: &[String]) -> Found<'a> {
    for name in names {
        let mut values = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim_start().strip_prefix(name.as_str())?.strip_prefix('='));
        if let Some(value) = values.next() {
            return if values.all(|other| other == value) {
                Found::Credential(Credential::Session(value.trim_end()))
            } else {
                Found::Malformed
            };
        }
    }
    Found::None
}

/// `Authorization: Bearer`, or else `X-API-Key`.
fn sdk_key(headers: &HeaderMap) -> Found<'_> {
    match only(headers, &AUTHORIZATION) {
        Some(Ok(text)) => match text.split_at_checked("bearer ".len()) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer ") => {
                Found::Credential(Credential::SdkKey(key.trim()))
            }
            _ => Found::Malformed,
        },
        Some(Err(())) => Found::Malformed,
        None => match only(headers, &X_API_KEY) {
            Some(Ok(key)) => Found::Credential(Credential::SdkKey(key.trim())),
            Some(Err(())) => Found::Malformed,
            None => Found::None,
        },
    }
}

fn stream_token(query: Option<&str>) -> Found<'_> {
    let parameters = query.into_iter().flat_map(|query| query.split('&'));
    let mut tokens = parameters.filter_map(|pair| pair.strip_prefix(TOKEN)?.strip_prefix('='));
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Found::Credential(Credential::StreamToken(token)),
        (Some(_), Some(_)) => Found::Malformed,
        (None, _) => Found::None,
    }
}

/// A header's text; `Err` where it occurs twice or is no visible ASCII.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Result<&'a str, ()>> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    Some(if values.next().is_some() { Err(()) } else { value.to_str().map_err(|_| ()) })
}
