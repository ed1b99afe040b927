use std::sync::Mutex;

use http::Method;
use tokio::{sync::oneshot, time::Instant};

use super::*;
use crate::{
    kernel::{Body, Instance, LayerSpec, Matched, Prepared, Stats, Time, chain, handler},
    testing::config,
};

fn timeout(observe: bool) -> Instance {
    let config = Config { after: Time::seconds(30) };
    Instance {
        name: "timeout".into(),
        prepared: Prepared::around(Timeout::new(&config)),
        observe,
        stats: Arc::new(Stats::default()),
    }
}

fn request() -> Request {
    let (parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
    let exchange = Arc::new(Exchange::new(Method::GET, "/", Matched::NotFound));
    Request::new(parts, Body::empty(), exchange)
}

/// A handler that answers when it is told to; it notices when it is dropped.
fn waiting() -> (Next, oneshot::Sender<()>) {
    let (sender, receiver) = oneshot::channel::<()>();
    let receiver = Mutex::new(Some(receiver));
    let next = handler(move |_| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        async move {
            receiver.await.unwrap();
            tokio::task::yield_now().await;
            Response::new(Body::from("late"))
        }
    });
    (next, sender)
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_is_dropped_and_answered_with_503() {
    let (endpoint, sender) = waiting();
    let instance = timeout(false);
    let request = request();
    let exchange = request.exchange().clone();
    let began = Instant::now();
    let response = chain(std::slice::from_ref(&instance), endpoint).call(request).wait().await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(began.elapsed().as_secs(), 30);
    assert!(sender.is_closed());
    assert_eq!(&*exchange.stopped().unwrap().layer, "timeout");
    assert_eq!(instance.stats.refused(), 1);
    let body = response.into_body().read().await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], "TIMEOUT");
}

#[tokio::test(start_paused = true)]
async fn observe_mode_notes_it_once_and_waits_on() {
    let (endpoint, sender) = waiting();
    let instance = timeout(true);
    let request = request();
    let exchange = request.exchange().clone();
    let call = chain(std::slice::from_ref(&instance), endpoint).call(request).wait();
    let answer = tokio::spawn(call);
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(instance.stats.observed(), 1);
    sender.send(()).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    assert_eq!(exchange.observed(), [Arc::<str>::from("timeout")]);
    assert!(exchange.stopped().is_none());
    assert_eq!((instance.stats.observed(), instance.stats.refused()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handler_in_time_is_left_alone() {
    let (endpoint, sender) = waiting();
    let answer = tokio::spawn(chain(&[timeout(false)], endpoint).call(request()).wait());
    tokio::time::sleep(Duration::from_secs(29)).await;
    sender.send(()).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[test]
fn an_answer_that_is_there_needs_no_timer() {
    // There is no runtime here: making a timer would panic.
    let ready = Next::new(|_: Request| Call::Ready(Response::new(Body::from("at once"))));
    assert!(matches!(chain(&[timeout(false)], ready).call(request()), Call::Ready(_)));
    let prompt = handler(async |_| Response::new(Body::from("prompt")));
    let mut call = Box::pin(chain(&[timeout(false)], prompt).call(request()).wait());
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_ready());
}

#[test]
fn settings_have_a_default_and_a_lower_end() {
    assert_eq!(config::<Config>(""), Config { after: Time::seconds(30) });
    assert_eq!(config::<Config>(r#"after = "250ms""#), Config { after: Time::milliseconds(250) });
    assert_eq!(Spec::check(&config("after = 0")).len(), 1);
    assert!(Spec::check(&Config::default()).is_empty());
    assert!(Spec::order(&Config::default()).breaks_streams.is_some());
}
