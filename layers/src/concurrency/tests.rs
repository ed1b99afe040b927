use std::time::Duration;

use http::Method;

use super::*;
use crate::{
    kernel::{
        Body, Call, Instance, LayerSpec as _, Matched, Next, Prepared, Request, Resources, Response, chain,
    },
    testing::{self, States},
};

/// Chains over one state, as generations of a pipeline have it.
struct Generations(States);

impl Generations {
    fn next(&mut self, settings: &str) -> Next {
        let prepared = testing::prepare::<Spec>(settings, &Resources::new(), &mut self.0).unwrap();
        hello(prepared, false)
    }
}

fn hello(prepared: Prepared, observe: bool) -> Next {
    let instance = Instance { name: "busy".into(), prepared, observe, stats: Arc::default() };
    chain(&[instance], Next::new(|_: Request| Call::Ready(Response::new(Body::from("hello")))))
}

fn alone(settings: &str) -> Next {
    Generations(States::default()).next(settings)
}

fn call(next: &Next) -> Call {
    let (parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
    let exchange = Arc::new(Exchange::new(Method::GET, "/", Matched::NotFound));
    next.call(Request::new(parts, Body::empty(), exchange))
}

async fn answer(next: &Next) -> Response {
    call(next).wait().await
}

#[tokio::test]
async fn a_request_counts_until_its_answer_is_sent_or_dropped() {
    let next = alone("max = 2");
    let (first, second) = (answer(&next).await, answer(&next).await);
    let third = answer(&next).await;
    assert_eq!(
        (first.status(), second.status(), third.status().as_u16()),
        (StatusCode::OK, StatusCode::OK, 503)
    );
    assert_eq!(third.headers()["retry-after"], "1");
    first.into_body().read().await.unwrap();
    let fourth = answer(&next).await;
    assert_eq!(fourth.status(), 200);
    assert_eq!(answer(&next).await.status(), 503);
    drop((second, fourth));
    assert_eq!(answer(&next).await.status(), 200);
}

#[tokio::test]
async fn a_reload_goes_on_counting_and_a_smaller_maximum_binds_at_once() {
    let mut generations = Generations(States::default());
    let old = generations.next("max = 3");
    let mut held = vec![answer(&old).await, answer(&old).await, answer(&old).await];
    let new = generations.next("max = 2");
    assert_eq!(answer(&new).await.status(), 503);
    held.pop();
    assert_eq!(answer(&new).await.status(), 503, "two are left");
    held.pop();
    assert_eq!(answer(&new).await.status(), 200);
    let larger = generations.next("max = 4");
    assert_eq!(answer(&larger).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_get_their_turn_or_are_refused_in_time() {
    let next = alone("max = 1\nqueue = 1\nwait = '5s'");
    let first = answer(&next).await;
    let second = tokio::spawn(call(&next).wait());
    tokio::task::yield_now().await;
    assert_eq!(answer(&next).await.status(), 503, "the queue is full");
    drop(first);
    let second = second.await.unwrap();
    assert_eq!(second.status(), 200);
    let begun = tokio::time::Instant::now();
    assert_eq!(answer(&next).await.status(), 503);
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    drop(second);
    assert_eq!(answer(&next).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_while_waiting_leaves_nothing_behind() {
    let next = alone("max = 1\nqueue = 1\nwait = '5s'");
    let first = answer(&next).await;
    for _ in 0..10 {
        let waiting = tokio::spawn(call(&next).wait());
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.is_err());
    }
    let waiting = tokio::spawn(call(&next).wait());
    tokio::task::yield_now().await;
    drop(first);
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(answer(&next).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn there_are_never_more_and_none_is_lost() {
    let next = alone("max = 3\nqueue = 1000\nwait = '60s'");
    let (under_way, most) =
        (Arc::new(std::sync::atomic::AtomicUsize::new(0)), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let (next, under_way, most) = (next.clone(), under_way.clone(), most.clone());
            tokio::spawn(async move {
                use std::sync::atomic::Ordering::SeqCst;
                let response = answer(&next).await;
                assert_eq!(response.status(), 200);
                most.fetch_max(under_way.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::task::yield_now().await;
                under_way.fetch_sub(1, SeqCst);
                drop(response);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(most.load(std::sync::atomic::Ordering::SeqCst) <= 3);
}

#[tokio::test]
async fn observing_refuses_nobody_and_counts_nobody_twice() {
    let config = testing::config("max = 1");
    let permits = Arc::new(Permits::default());
    let next = hello(Prepared::hook(Concurrency::new(&config, permits.clone())), true);
    let held = [answer(&next).await, answer(&next).await, answer(&next).await];
    assert!(held.iter().all(|response| response.status() == 200));
    drop(held);
    assert!(permits.try_take(1), "all were given back");
}

#[test]
fn settings_that_answer_nobody_are_refused() {
    let check = |settings| Spec::check(&testing::config(settings));
    assert_eq!(check("max = 0")[0].key, Some("max"));
    assert_eq!(check("max = 1\nqueue = 1\nwait = 0")[0].key, Some("wait"));
    assert!(check("max = 1").is_empty());
}
