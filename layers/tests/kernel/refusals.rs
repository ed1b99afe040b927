//! What a refusal carries.

use std::sync::Arc;

use flagstone_layers::kernel::{Body, Exchange, Matched, Request, Response, chain, chain_unfused};
use http::Method;

use crate::recorder::{Decision, Trace, endpoint, finish, recorder, request};

#[test]
fn a_refusal_carries_the_outer_layers_headers_and_nothing_of_the_inner_ones() {
    for build in [chain, chain_unfused] {
        for decision in [Decision::Stop, Decision::WaitStop(2)] {
            let trace = Trace::default();
            let instances = [
                recorder::<(), false>(0, Decision::Continue, false, &trace),
                recorder::<[u64; 3], true>(1, Decision::Continue, false, &trace),
                recorder::<(), true>(2, decision, false, &trace),
                recorder::<(), true>(3, Decision::Continue, false, &trace),
            ];
            let request = request(Method::GET);
            let exchange = request.exchange().clone();
            let next = build(&instances, endpoint(&trace, || Response::new(Body::from("secret"))));
            let response = finish(next.call(request).wait());
            assert_eq!(response.status(), 402);
            assert_eq!(response.headers().get_all("x-seen-by").iter().collect::<Vec<_>>(), ["1", "0"]);
            assert_eq!(finish(response.into_body().read()).unwrap(), "stopped by 2");
            let stopped = exchange.stopped().unwrap();
            assert_eq!((&*stopped.layer, stopped.status.as_u16()), ("2", 402));
            assert_eq!(instances.each_ref().map(|instance| instance.stats.refused()), [0, 0, 1, 0]);
            assert_eq!(
                trace.events(),
                [
                    "request 0",
                    "request 1",
                    "request 2",
                    "response 1 [1, 1, 1] 402 Payment Required",
                    "response 0 nothing 402 Payment Required",
                    "end 1 402 12 Complete /path",
                ]
            );
        }
    }
}

#[test]
fn an_answer_goes_back_like_a_refusal_and_counts_as_none() {
    for build in [chain, chain_unfused] {
        for (decision, observe) in
            [Decision::Answer, Decision::WaitAnswer(2)].map(|d| [(d, false), (d, true)]).as_flattened()
        {
            let trace = Trace::default();
            let instances = [
                recorder::<[u64; 3], true>(0, Decision::Continue, false, &trace),
                recorder::<(), true>(1, *decision, *observe, &trace),
                recorder::<(), true>(2, Decision::Continue, false, &trace),
            ];
            let request = request(Method::GET);
            let exchange = request.exchange().clone();
            let next = build(&instances, endpoint(&trace, || Response::new(Body::from("secret"))));
            let response = finish(next.call(request).wait());
            assert_eq!(response.headers().get_all("x-seen-by").iter().collect::<Vec<_>>(), ["0"]);
            assert_eq!(finish(response.into_body().read()).unwrap(), "answered by 1");
            assert_eq!((exchange.stopped(), exchange.observed()), (None, vec![]));
            assert!(instances.iter().all(|i| (i.stats.refused(), i.stats.observed()) == (0, 0)));
            assert_eq!(
                trace.events(),
                ["request 0", "request 1", "response 0 [0, 0, 0] 200 OK", "end 0 200 13 Complete /path"]
            );
        }
    }
}

#[test]
fn a_group_holds_64_hooks_and_the_next_begins_another() {
    let trace = Trace::default();
    let instances: Vec<_> = (0..150)
        .map(|number| recorder::<[u64; 3], true>(number, Decision::Continue, false, &trace))
        .collect();
    let next = chain(&instances, endpoint(&trace, || Response::new(Body::empty())));
    let response = finish(next.call(request(Method::GET)).wait());
    let seen: Vec<usize> = response
        .headers()
        .get_all("x-seen-by")
        .iter()
        .map(|number| number.to_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(seen, (0..150).rev().collect::<Vec<_>>());
    drop(response);
    let ends = trace.events().iter().filter(|event| event.starts_with("end ")).count();
    assert_eq!(ends, 150);
}

#[test]
fn a_preflight_runs_the_layers_but_never_the_handler() {
    let trace = Trace::default();
    let hook = recorder::<(), true>(0, Decision::Continue, false, &trace);
    let next = chain(&[hook], endpoint(&trace, || Response::new(Body::from("secret"))));
    let (parts, ()) = http::Request::options("/path").body(()).unwrap().into_parts();
    let exchange = Exchange::new(Method::OPTIONS, "/path", Matched::NotFound).as_preflight();
    let response = finish(next.call(Request::new(parts, Body::empty(), Arc::new(exchange))).wait());
    assert_eq!((response.status().as_u16(), &response.headers()["x-seen-by"]), (204, &"0".parse().unwrap()));
    drop(response);
    let events = ["request 0", "response 0 nothing 204 No Content", "end 0 204 0 Complete /path"];
    assert_eq!(trace.events(), events);
}
