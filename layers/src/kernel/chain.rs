use std::{future::Future, pin::Pin, sync::Arc};

use http::{HeaderValue, StatusCode, header::ALLOW};

use super::{
    body::{Body, Limiter, Tail},
    exchange::Exchange,
    hook::{Ended, ErasedFlow, ErasedHook, Slots, Waited},
    next::{Call, Handler, Next, Response},
    panic::Panic,
    request::{Request, RequestHead, ResponseHead},
    spec::{Prepared, WrapContext},
    stats::Stats,
};

/// A prepared layer under its name, as a chain uses it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its name.
    pub name: Arc<str>,
    /// What it does.
    pub prepared: Prepared,
    /// Whether it only counts and logs what it would have refused.
    pub observe: bool,
    /// What it did.
    pub stats: Arc<Stats>,
}

/// Builds a chain, the first instance outermost, around an endpoint. Neighbouring hooks become one [`Handler`].
pub fn chain(instances: &[Instance], endpoint: Next) -> Next {
    build(instances, endpoint, Group::MAX)
}

/// As [`chain`], with each hook on its own: what fusing is held against.
pub fn chain_unfused(instances: &[Instance], endpoint: Next) -> Next {
    build(instances, endpoint, 1)
}

fn build(instances: &[Instance], endpoint: Next, group_size: usize) -> Next {
    let mut next = Next::new(Endpoint { inner: endpoint });
    let mut hooks = Vec::new();
    for instance in instances.iter().rev() {
        match &instance.prepared {
            Prepared::Hook(hook) => {
                if hooks.len() == group_size {
                    next = Group::close(&mut hooks, next);
                }
                hooks.push(Entry { hook: hook.0.clone(), place: Arc::new(instance.place()) });
            }
            Prepared::Around(around) => {
                next = Group::close(&mut hooks, next);
                next = around.wrap(next, &instance.place());
            }
        }
    }
    Group::close(&mut hooks, next)
}

/// The innermost place of a chain: it keeps preflights from the handler.
struct Endpoint {
    inner: Next,
}

/// Neighbouring hooks around what is inside.
struct Group {
    hooks: Arc<Hooks>,
    inner: Next,
}

struct Hooks {
    entries: Box<[Entry]>,
    ends: Option<Arc<Ends>>,
}

struct Entry {
    hook: Arc<dyn ErasedHook>,
    place: Arc<WrapContext>,
}

/// The hooks of a group that note the end, with their places in it.
pub(super) struct Ends(Box<[(usize, Arc<dyn ErasedHook>)]>);

/// How far one request came in a group: which hooks continued, and what they remember. Those of them that note the end
/// do so when the tail is dropped, wherever that happens: in the answer's body, in a future nobody waits for any more,
/// or in a panic.
struct Progress {
    next: usize,
    mask: u64,
    slots: Slots,
    tail: Option<Tail>,
}

enum Forward {
    Through,
    Stopped(Box<Response>),
    Waiting(Waiting),
}

type Waiting = Pin<Box<dyn Future<Output = Waited> + Send>>;

// === impl Endpoint ===

impl Handler for Endpoint {
    fn call(&self, request: Request) -> Call {
        if !request.exchange().is_preflight() {
            return self.inner.call(request).asked();
        }
        // No layer answered the preflight: nothing is allowed to other origins, and the handler must not run.
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("OPTIONS"));
        Call::Ready(response)
    }
}

// === impl Instance ===

impl Instance {
    /// Whether a stream that is open may go on where this instance now stands in its way. One that panics is asked in
    /// vain: the stream ends.
    pub fn readmits(&self, stream: &Exchange) -> bool {
        match &self.prepared {
            Prepared::Hook(hook) if !self.observe => Panic::catch(|| hook.0.readmits(stream)).unwrap_or_else(|panic| {
                tracing::error!(layer = %self.name, %panic, "a layer panicked while it was asked about a stream");
                false
            }),
            Prepared::Hook(_) | Prepared::Around(_) => true,
        }
    }

    fn place(&self) -> WrapContext {
        WrapContext { name: self.name.clone(), observe: self.observe, stats: self.stats.clone() }
    }
}

// === impl Group ===

impl Group {
    /// The most hooks in one group: the bits of its mask.
    const MAX: usize = 64;

    /// Makes a group of the hooks gathered so far (innermost first), if there are any.
    fn close(hooks: &mut Vec<Entry>, inner: Next) -> Next {
        if hooks.is_empty() {
            return inner;
        }
        hooks.reverse();
        let ends: Box<[_]> = hooks
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.hook.ends())
            .map(|(index, entry)| (index, entry.hook.clone()))
            .collect();
        let ends = (!ends.is_empty()).then(|| Arc::new(Ends(ends)));
        Next::new(Self { hooks: Arc::new(Hooks { entries: std::mem::take(hooks).into(), ends }), inner })
    }
}

impl Handler for Group {
    fn call(&self, mut request: Request) -> Call {
        let mut progress = Progress::new(&self.hooks, request.exchange());
        match self.hooks.forward(request.head_mut(), &mut progress) {
            Forward::Through => self.enter(request, progress),
            Forward::Stopped(response) => {
                Call::Ready(self.hooks.back(progress, request.exchange(), *response))
            }
            Forward::Waiting(future) => self.wait(request, progress, future),
        }
    }
}

impl Group {
    /// All hooks let the request through: on to what is inside.
    fn enter(&self, mut request: Request, progress: Progress) -> Call {
        request.apply_limit();
        let exchange = request.exchange().clone();
        match self.inner.call(request) {
            Call::Ready(response) => Call::Ready(self.hooks.back(progress, &exchange, response)),
            Call::Future(future) => {
                let hooks = self.hooks.clone();
                Call::Future(Box::pin(async move {
                    let response = future.await;
                    hooks.back(progress, &exchange, response)
                }))
            }
        }
    }

    /// A hook has to wait: the rest of the request's way is a future.
    fn wait(&self, mut request: Request, mut progress: Progress, mut future: Waiting) -> Call {
        let group = Self { hooks: self.hooks.clone(), inner: self.inner.clone() };
        Call::Future(Box::pin(async move {
            loop {
                let waited = future.await;
                match group.hooks.resume(waited, request.head_mut(), &mut progress) {
                    Forward::Through => return group.enter(request, progress).wait().await,
                    Forward::Stopped(response) => {
                        return group.hooks.back(progress, request.exchange(), *response);
                    }
                    Forward::Waiting(next) => future = next,
                }
            }
        }))
    }
}

// === impl Hooks ===

impl Hooks {
    fn forward(&self, head: &mut RequestHead, progress: &mut Progress) -> Forward {
        while let Some(entry) = self.entries.get(progress.next) {
            match entry.on_request(head, &mut progress.slots) {
                ErasedFlow::Continue => progress.continued(),
                ErasedFlow::Stop(response) => match entry.stop(head.exchange(), response) {
                    Some(response) => return Forward::Stopped(response),
                    None => progress.next += 1,
                },
                ErasedFlow::Answer(response) => return Forward::Stopped(response),
                ErasedFlow::Wait(future) => return Forward::Waiting(future),
            }
        }
        Forward::Through
    }

    /// Goes on with what a hook that waited decided.
    fn resume(&self, waited: Waited, head: &mut RequestHead, progress: &mut Progress) -> Forward {
        match waited {
            Waited::Continue(slot) => {
                progress.slots.extend(slot);
                progress.continued();
            }
            Waited::Stop(response) => {
                if let Some(entry) = self.entries.get(progress.next)
                    && let Some(response) = entry.stop(head.exchange(), response)
                {
                    return Forward::Stopped(response);
                }
                progress.next += 1;
            }
            Waited::Answer(response) => return Forward::Stopped(response),
        }
        self.forward(head, progress)
    }

    /// Lets those that continued see the response, the innermost first, and hands the end to the body.
    fn back(&self, mut progress: Progress, exchange: &Exchange, mut response: Response) -> Response {
        let mut head = ResponseHead::new(exchange, &mut response);
        for (index, entry) in self.entries.iter().enumerate().take(progress.next).rev() {
            if progress.mask & (1 << index) != 0 {
                entry.hook.on_response(&mut progress.slots, &mut head);
            }
        }
        if let Some(tail) = progress.tail
            && tail.covers_any()
        {
            Body::attach(&mut response, tail);
        }
        response
    }
}

// === impl Entry ===

impl Entry {
    fn on_request(&self, head: &mut RequestHead, slots: &mut Slots) -> ErasedFlow {
        let flow = self.hook.on_request(head, slots);
        head.claim_limits(|exchange| Limiter { place: self.place.clone(), exchange: exchange.clone() });
        flow
    }

    /// Counts a refusal and gives it back; in observe mode only counts it.
    fn stop(&self, exchange: &Exchange, response: Box<Response>) -> Option<Box<Response>> {
        self.place.refuses(exchange, response.status()).then_some(response)
    }
}

// === impl Ends ===

impl Ends {
    pub(super) fn any(&self, mask: u64) -> bool {
        self.0.iter().any(|(index, _)| mask & (1 << index) != 0)
    }

    /// Lets those of the mask note the end, the innermost first. This runs while things are dropped, perhaps by a panic:
    /// a second one would end the process, so it is kept in.
    pub(super) fn run(&self, mask: u64, exchange: &Exchange, ended: &Ended) {
        for (index, hook) in self.0.iter().rev() {
            if mask & (1 << index) != 0
                && let Err(panic) = Panic::catch(|| hook.on_end(exchange, ended))
            {
                let request_id = exchange.request_id().map(tracing::field::display);
                let location = panic.location();
                tracing::error!(request_id, location, %panic, "a layer panicked at the end of a request");
            }
        }
    }
}

// === impl Progress ===

impl Progress {
    fn new(hooks: &Hooks, exchange: &Arc<Exchange>) -> Self {
        let tail = hooks.ends.as_ref().map(|ends| Tail::new(ends.clone(), exchange.clone()));
        Self { next: 0, mask: 0, slots: Slots::new(), tail }
    }

    fn continued(&mut self) {
        self.mask |= 1 << self.next;
        if let Some(tail) = &mut self.tail {
            tail.cover(self.next);
        }
        self.next += 1;
    }
}
