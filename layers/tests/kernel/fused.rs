//! Fused hooks do what unfused ones do, for any chain, whatever becomes of the request.

use std::sync::Arc;

use flagstone_layers::kernel::{
    Body, Call, Exchange, Handler, Instance, Next, Prepared, Request, Response, WrapContext, chain,
    chain_unfused,
};
use http::{HeaderValue, Method};
use proptest::prelude::*;

use crate::recorder::{
    After, Decision, Piece, Pieces, Trace, finish, instance, poll_up_to, recorder, request,
};

/// One layer of a chain.
#[derive(Clone, Copy, Debug)]
enum Layer {
    Hook { decision: Decision, state: u8, observe: bool, ends: bool },
    Around,
}

/// How the handler answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Ready,
    After(u8),
    Never,
}

/// What becomes of the answer.
#[derive(Clone, Copy, Debug)]
enum Client {
    Reads,
    /// Goes away after so many polls, before or after there is an answer.
    GoesAfter(usize),
    /// Goes away when it has the head.
    DropsBody,
}

#[derive(Clone, Debug)]
struct Case {
    layers: Vec<Layer>,
    answer: Answer,
    pieces: Vec<Piece>,
    client: Client,
    method: Method,
}

/// What can be seen of a run.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<String>,
    status: Option<u16>,
    seen_by: Vec<HeaderValue>,
    body: Option<String>,
    stopped: Option<(Arc<str>, u16)>,
    observed: Vec<Arc<str>>,
    counted: Vec<(u64, u64)>,
}

struct Wrapped {
    number: usize,
    inner: Next,
    trace: Trace,
}

impl Handler for Wrapped {
    fn call(&self, request: Request) -> Call {
        let (number, trace) = (self.number, self.trace.clone());
        trace.push(format!("request {number}"));
        let call = self.inner.call(request);
        Call::Future(Box::pin(async move {
            let mut response = call.wait().await;
            trace.push(format!("response {number} {}", response.status()));
            response.headers_mut().append("x-seen-by", HeaderValue::from(number));
            response
        }))
    }
}

impl Layer {
    fn instance(self, number: usize, trace: &Trace) -> Instance {
        match self {
            Self::Around => {
                let trace = trace.clone();
                let around = move |inner: Next, _: &WrapContext| {
                    Next::new(Wrapped { number, inner, trace: trace.clone() })
                };
                instance(number, Prepared::around(around), false)
            }
            Self::Hook { decision, state, observe, ends } => {
                let make = match (state, ends) {
                    (0, false) => recorder::<(), false>,
                    (0, true) => recorder::<(), true>,
                    (1, false) => recorder::<[u64; 3], false>,
                    (1, true) => recorder::<[u64; 3], true>,
                    (2, false) => recorder::<Option<HeaderValue>, false>,
                    (2, true) => recorder::<Option<HeaderValue>, true>,
                    (_, false) => recorder::<Box<String>, false>,
                    (_, true) => recorder::<Box<String>, true>,
                };
                make(number, decision, observe, trace)
            }
        }
    }
}

impl Case {
    fn endpoint(&self, trace: &Trace) -> Next {
        let (trace, answer, pieces) = (trace.clone(), self.answer, self.pieces.clone());
        Next::new(move |request: Request| {
            let passed = request.head().headers().get_all("x-passed").iter().count();
            trace.push(format!("handler after {passed}"));
            let response = Response::new(Pieces::body(&pieces));
            match answer {
                Answer::Ready => Call::Ready(response),
                Answer::After(polls) => Call::Future(Box::pin(After { polls, value: Some(response) })),
                Answer::Never => Call::Future(Box::pin(std::future::pending())),
            }
        })
    }

    fn run(&self, build: fn(&[Instance], Next) -> Next) -> Seen {
        let trace = Trace::default();
        let instances: Vec<_> =
            self.layers.iter().enumerate().map(|(number, layer)| layer.instance(number, &trace)).collect();
        let request = request(self.method.clone());
        let exchange = request.exchange().clone();
        let call = build(&instances, self.endpoint(&trace)).call(request).wait();
        let response = match self.client {
            Client::GoesAfter(polls) => poll_up_to(polls, call),
            Client::Reads | Client::DropsBody => poll_up_to(1_000, call),
        };
        let mut seen = Seen {
            events: Vec::new(),
            status: response.as_ref().map(|response| response.status().as_u16()),
            seen_by: response.iter().flat_map(|r| r.headers().get_all("x-seen-by")).cloned().collect(),
            body: None,
            stopped: exchange.stopped().map(|stopped| (stopped.layer.clone(), stopped.status.as_u16())),
            observed: exchange.observed(),
            counted: instances.iter().map(|i| (i.stats.refused(), i.stats.observed())).collect(),
        };
        if let (Some(response), Client::Reads) = (response, self.client) {
            seen.body = Some(read(response.into_body()));
        }
        seen.events = trace.events();
        self.check(&seen, &exchange);
        seen
    }

    /// What holds however hooks are run: those outside whatever answered see the answer, in reverse; each that
    /// continued and wants to notes the end, once.
    fn check(&self, seen: &Seen, exchange: &Exchange) {
        let numbers = |kind: &str| -> Vec<usize> {
            let events = seen.events.iter().filter_map(|event| event.strip_prefix(kind));
            events.map(|event| event.trim().split(' ').next().unwrap().parse().unwrap()).collect()
        };
        let asked = numbers("request ");
        assert_eq!(asked, (0..asked.len()).collect::<Vec<_>>(), "from the outside in");
        let stopped: Option<usize> = exchange.stopped().map(|stopped| stopped.layer.parse().unwrap());
        let undecided = seen.status.is_none().then(|| asked.last().copied()).flatten();
        let continued = |number: &usize| {
            let observed = seen.observed.iter().any(|name| **name == *number.to_string());
            let answers = matches!(
                self.layers[*number],
                Layer::Hook { decision: Decision::Answer | Decision::WaitAnswer(_), .. }
            );
            Some(*number) != stopped && !observed && !answers
        };
        if seen.status.is_some() {
            let mut expected: Vec<_> = asked.iter().copied().filter(continued).collect();
            expected.reverse();
            assert_eq!(numbers("response "), expected);
            assert_eq!(seen.seen_by, expected.iter().map(|n| HeaderValue::from(*n)).collect::<Vec<_>>());
        }
        let wants = |number: &usize| matches!(self.layers[*number], Layer::Hook { ends: true, .. });
        let mut expected: Vec<_> = asked.iter().copied().filter(continued).filter(wants).collect();
        expected.reverse();
        let ended = numbers("end ");
        // Of the last one asked it cannot be told from outside whether it still waited.
        let possible =
            undecided.is_some_and(|last| expected.first() == Some(&last) && ended == expected[1..]);
        assert!(ended == expected || possible, "{ended:?} {expected:?}");
    }
}

fn read(body: Body) -> String {
    match finish(body.read()) {
        Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Err(error) => error.to_string(),
    }
}

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let decision = prop_oneof![
        12 => Just(Decision::Continue),
        1 => Just(Decision::Stop),
        1 => Just(Decision::Answer),
        2 => (0u8..3).prop_map(Decision::WaitContinue),
        1 => (0u8..3).prop_map(Decision::WaitStop),
        1 => (0u8..3).prop_map(Decision::WaitAnswer),
        1 => (0u8..3).prop_map(Decision::WaitTwice),
    ];
    let hook = (decision, 0u8..4, prop::bool::weighted(0.3), any::<bool>())
        .prop_map(|(decision, state, observe, ends)| Layer::Hook { decision, state, observe, ends });
    prop::collection::vec(prop_oneof![6 => hook, 1 => Just(Layer::Around)], 0..90).prop_map(|mut layers| {
        // Long chains that nobody stops are the rare ones; short ones the common.
        let length = layers.len();
        layers.truncate(if length.is_multiple_of(4) { length } else { length % 12 });
        layers
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let answer = prop_oneof![3 => Just(Answer::Ready), 3 => (0u8..4).prop_map(Answer::After), 1 => Just(Answer::Never)];
    let piece = prop_oneof![4 => Just(Piece::Data("piece")), 2 => Just(Piece::Pend), 1 => Just(Piece::Fail)];
    let client = prop_oneof![
        3 => Just(Client::Reads),
        2 => (0usize..8).prop_map(Client::GoesAfter),
        1 => Just(Client::DropsBody),
    ];
    let method = prop_oneof![4 => Just(Method::GET), 1 => Just(Method::HEAD)];
    (layers(), answer, prop::collection::vec(piece, 0..4), client, method)
        .prop_map(|(layers, answer, pieces, client, method)| Case { layers, answer, pieces, client, method })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn fused_hooks_do_what_unfused_ones_do(case in cases()) {
        prop_assert_eq!(case.run(chain), case.run(chain_unfused));
    }
}
