use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use http::{Method, StatusCode};
use smallvec::SmallVec;
use tokio_util::sync::CancellationToken;

use super::{
    generation::{Generation, Readmission},
    principal::Principal,
};

/// What is known of one request. Made once, where the connection routes; shared by every layer, the handler and the
/// body's tail, so that outer layers see what inner ones learned.
///
/// It holds no `Uri`, no `HeaderValue` and no part of the pipeline: it lives as long as a stream does.
pub struct Exchange {
    started: Instant,
    method: Method,
    path: Box<str>,
    matched: Matched,
    preflight: bool,
    peer: Option<SocketAddr>,
    generation: Option<Arc<Generation>>,
    request_id: OnceLock<RequestId>,
    client: OnceLock<Client>,
    principal: OnceLock<Principal>,
    stopped: OnceLock<Stopped>,
    observed: Mutex<Vec<Arc<str>>>,
    secret: AtomicBool,
    /// Ends the stream that the answer is.
    stream: OnceLock<CancellationToken>,
}

/// What the route table found for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    /// A handler route.
    Route {
        /// Its place in the route table.
        id: usize,
        /// Its pattern, such as `/api/projects/{project}`.
        pattern: &'static str,
        /// The values of the pattern's parameters in their order, as ranges of the path.
        parameters: SmallVec<[(u16, u16); 4]>,
    },
    /// The path is known, the method is not.
    MethodNotAllowed {
        /// The methods that are, as an `Allow` header has them.
        allow: Arc<str>,
    },
    /// The path is unknown.
    NotFound,
}

/// The address a request really comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's address, as far as proxies are trusted.
    pub address: IpAddr,
    /// Whether the client speaks https.
    pub secure: bool,
    /// Whether a proxy that is trusted stands between.
    pub through_proxy: bool,
}

/// A request's id: 1 to 64 visible ASCII characters, kept inline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    bytes: [u8; Self::MAX],
    length: u8,
}

/// Which layer answered instead of the handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The layer's name.
    pub layer: Arc<str>,
    /// What it answered.
    pub status: StatusCode,
}

// === impl Exchange ===

impl Exchange {
    /// The exchange of a request that begins now.
    pub fn new(method: Method, path: impl Into<Box<str>>, matched: Matched) -> Self {
        Self {
            started: Instant::now(),
            method,
            path: path.into(),
            matched,
            preflight: false,
            peer: None,
            generation: None,
            request_id: OnceLock::new(),
            client: OnceLock::new(),
            principal: OnceLock::new(),
            stopped: OnceLock::new(),
            observed: Mutex::new(Vec::new()),
            secret: AtomicBool::new(false),
            stream: OnceLock::new(),
        }
    }

    /// The socket's other end.
    #[must_use]
    pub fn with_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The pipeline generation it runs on.
    #[must_use]
    pub fn with_generation(mut self, generation: Arc<Generation>) -> Self {
        self.generation = Some(generation);
        self
    }

    /// It is a CORS preflight: it runs the chain of the method it asks for, but never reaches the handler.
    #[must_use]
    pub fn as_preflight(mut self) -> Self {
        self.preflight = true;
        self
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The request's method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The request's path, without its query, as it was sent.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the route table found.
    pub fn matched(&self) -> &Matched {
        &self.matched
    }

    /// The route's pattern; `None` where no route was found. Safe as a metric's label.
    pub fn pattern(&self) -> Option<&'static str> {
        match self.matched {
            Matched::Route { pattern, .. } => Some(pattern),
            _ => None,
        }
    }

    /// The raw (still percent-encoded) value of a parameter of the route's pattern.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let Matched::Route { pattern, parameters, .. } = &self.matched else { return None };
        let index = parameter_names(pattern).position(|known| known == name)?;
        let (start, end) = *parameters.get(index)?;
        self.path.get(usize::from(start)..usize::from(end))
    }

    /// Whether it is a CORS preflight.
    pub fn is_preflight(&self) -> bool {
        self.preflight
    }

    /// The socket's other end; `None` for Unix sockets and in tests.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The pipeline generation it runs on.
    pub fn generation(&self) -> Option<u64> {
        self.generation.as_ref().map(|generation| generation.number())
    }

    /// The request's id, once a layer gave it one.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.request_id.get()
    }

    /// Gives it an id. The first one stays; returns whether this was it.
    pub fn set_request_id(&self, id: RequestId) -> bool {
        self.request_id.set(id).is_ok()
    }

    /// Where the request comes from, once a layer found out.
    pub fn client(&self) -> Option<&Client> {
        self.client.get()
    }

    /// Notes where it comes from. The first stays; returns whether this was it.
    pub fn set_client(&self, client: Client) -> bool {
        self.client.set(client).is_ok()
    }

    /// The client's address as a layer found it, or else the socket's.
    pub fn address(&self) -> Option<IpAddr> {
        self.client().map(|client| client.address).or_else(|| self.peer.map(|peer| peer.ip()))
    }

    /// Whether the client speaks https, as far as is known.
    pub fn is_secure(&self) -> bool {
        self.client().is_some_and(|client| client.secure)
    }

    /// Who calls, once a layer found out.
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.get()
    }

    /// Notes who calls. The first stays; returns whether this was it.
    pub fn set_principal(&self, principal: Principal) -> bool {
        self.principal.set(principal).is_ok()
    }

    /// Which layer answered instead of the handler, if one did.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.stopped.get()
    }

    /// Notes which layer answered. The chain does this for hooks; a layer that wraps a service calls it itself.
    pub fn set_stopped(&self, layer: Arc<str>, status: StatusCode) -> bool {
        self.stopped.set(Stopped { layer, status }).is_ok()
    }

    /// The layers in observe mode that would have refused.
    pub fn observed(&self) -> Vec<Arc<str>> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that a layer in observe mode would have refused.
    pub fn add_observed(&self, layer: Arc<str>) {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner).push(layer);
    }

    /// Whether the answer holds a secret: it is neither compressed nor stored.
    pub fn is_secret(&self) -> bool {
        self.secret.load(Ordering::Relaxed)
    }

    /// Notes that the answer holds a secret.
    pub fn mark_secret(&self) {
        self.secret.store(true, Ordering::Relaxed);
    }

    /// Whether the answer is a stream.
    pub fn is_stream(&self) -> bool {
        self.stream.get().is_some()
    }

    /// Notes that the answer is a stream, which may outlive its generation. Handlers do so before they answer, and end
    /// the stream once the token is cancelled: a reload made rules that would not let it in.
    pub fn mark_stream(self: &Arc<Self>) -> CancellationToken {
        let token = CancellationToken::new();
        if self.stream.set(token.clone()).is_ok()
            && let Some(generation) = &self.generation
        {
            generation.begin_stream(self);
        }
        self.stream.get().cloned().unwrap_or(token)
    }

    /// Ends the stream, unless the rules of now let it in.
    pub(super) fn recheck(&self, readmission: &dyn Readmission) {
        if let Some(token) = self.stream.get()
            && !token.is_cancelled()
            && !readmission.readmits(self)
        {
            token.cancel();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.is_stream()
            && let Some(generation) = &self.generation
        {
            generation.end_stream(self);
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("matched", &self.matched)
            .field("request_id", &self.request_id)
            .field("client", &self.client)
            .field("principal", &self.principal)
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

/// The names of a pattern's parameters in their order; a catch-all's without its star.
fn parameter_names(pattern: &'static str) -> impl Iterator<Item = &'static str> {
    pattern
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name.trim_start_matches('*')))
}

// === impl RequestId ===

impl RequestId {
    /// The longest id, in bytes.
    pub const MAX: usize = 64;

    /// Takes over an id: 1 to 64 characters of `A-Z a-z 0-9 . _ ~ + / = : @ -`, so that it can be quoted anywhere.
    pub fn parse(id: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~+/=:@-".contains(byte);
        if id.is_empty() || id.len() > Self::MAX || !id.iter().all(allowed) {
            return None;
        }
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self { bytes, length: u8::try_from(id.len()).ok()? })
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The id's text as bytes, which costs nothing.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// An id of 32 hexadecimal digits.
impl From<u128> for RequestId {
    fn from(number: u128) -> Self {
        let mut bytes = [0; Self::MAX];
        for (digits, byte) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(number.to_be_bytes()) {
            *digits = [byte >> 4, byte & 0xf].map(|digit| digit + if digit < 10 { b'0' } else { b'a' - 10 });
        }
        Self { bytes, length: 32 }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    #[test]
    fn parameters_are_found_by_name() {
        let exchange = Exchange::new(
            Method::GET,
            "/projects/web/flags/dark",
            Matched::Route {
                id: 0,
                pattern: "/projects/{project}/flags/{*rest}",
                parameters: smallvec![(10, 13), (20, 24)],
            },
        );
        assert_eq!(exchange.parameter("project"), Some("web"));
        assert_eq!(exchange.parameter("rest"), Some("dark"));
        assert_eq!(exchange.parameter("other"), None);
    }

    #[test]
    fn a_request_id_takes_nothing_that_needs_quoting() {
        assert_eq!(RequestId::parse(b"a-1:Z").unwrap().as_str(), "a-1:Z");
        for bad in [&b""[..], b"a b", b"a\"b", b"a\nb", "ä".as_bytes(), &[b'a'; 65]] {
            assert!(RequestId::parse(bad).is_none(), "{bad:?}");
        }
    }
}
