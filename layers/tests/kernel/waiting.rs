//! A hook that waits in the middle of a fused group.

use flagstone_layers::kernel::{Body, Response, chain};
use http::Method;

use crate::recorder::{Decision, Trace, endpoint, finish, poll_up_to, recorder, request};

/// Hooks 0, 1 and 2 in one group, each noting the end; hook 1 decides as told.
struct Run {
    trace: Trace,
    instances: [flagstone_layers::kernel::Instance; 3],
}

impl Run {
    fn new(decision: Decision, observe: bool) -> Self {
        let trace = Trace::default();
        let instances = [
            recorder::<[u64; 3], true>(0, Decision::Continue, false, &trace),
            recorder::<Box<String>, true>(1, decision, observe, &trace),
            recorder::<[u64; 3], true>(2, Decision::Continue, false, &trace),
        ];
        Self { trace, instances }
    }

    /// The status, where there was an answer after so many polls, and what happened.
    fn polled(&self, polls: usize) -> (Option<u16>, Vec<String>) {
        let endpoint = endpoint(&self.trace, || Response::new(Body::from("fine")));
        let call = chain(&self.instances, endpoint).call(request(Method::GET)).wait();
        let response = poll_up_to(polls, call);
        let status = response.as_ref().map(|response| response.status().as_u16());
        if let Some(response) = response {
            finish(response.into_body().read()).unwrap();
        }
        (status, self.trace.events())
    }
}

#[test]
fn it_continues() {
    let (status, events) = Run::new(Decision::WaitTwice(3), false).polled(100);
    assert_eq!(status, Some(200));
    assert_eq!(
        events,
        [
            "request 0",
            "request 1",
            "request 2",
            "handler after 3",
            "response 2 [2, 2, 2] 200 OK",
            "response 1 \"text 1\" 200 OK",
            "response 0 [0, 0, 0] 200 OK",
            "end 2 200 4 Complete /path",
            "end 1 200 4 Complete /path",
            "end 0 200 4 Complete /path",
        ]
    );
}

#[test]
fn it_stops() {
    let run = Run::new(Decision::WaitStop(3), false);
    let (status, events) = run.polled(100);
    assert_eq!(status, Some(401));
    assert_eq!(
        events,
        ["request 0", "request 1", "response 0 [0, 0, 0] 401 Unauthorized", "end 0 401 12 Complete /path",]
    );
    assert_eq!(run.instances[1].stats.refused(), 1);
}

#[test]
fn it_would_have_stopped() {
    let run = Run::new(Decision::WaitStop(3), true);
    let (status, events) = run.polled(100);
    assert_eq!(status, Some(200));
    assert_eq!(
        events,
        [
            "request 0",
            "request 1",
            "request 2",
            "handler after 3",
            "response 2 [2, 2, 2] 200 OK",
            "response 0 [0, 0, 0] 200 OK",
            "end 2 200 4 Complete /path",
            "end 0 200 4 Complete /path",
        ]
    );
    assert_eq!((run.instances[1].stats.refused(), run.instances[1].stats.observed()), (0, 1));
}

#[test]
fn the_client_goes_away_while_it_waits() {
    for polls in 0..3 {
        let (status, events) = Run::new(Decision::WaitContinue(3), false).polled(polls);
        assert_eq!(status, None);
        assert_eq!(events, ["request 0", "request 1", "end 0 0 0 Aborted /path"], "after {polls} polls");
    }
}

#[test]
fn the_client_goes_away_while_a_later_one_waits() {
    let trace = Trace::default();
    let instances = [
        recorder::<(), true>(0, Decision::WaitContinue(0), false, &trace),
        recorder::<(), false>(1, Decision::Continue, false, &trace),
        recorder::<(), true>(2, Decision::Continue, false, &trace),
        recorder::<(), true>(3, Decision::WaitContinue(9), false, &trace),
    ];
    let endpoint = endpoint(&trace, || Response::new(Body::empty()));
    assert!(poll_up_to(1, chain(&instances, endpoint).call(request(Method::GET)).wait()).is_none());
    let ends: Vec<_> = trace.events().into_iter().filter(|event| event.starts_with("end")).collect();
    assert_eq!(ends, ["end 2 0 0 Aborted /path", "end 0 0 0 Aborted /path"]);
}
