//! A stream: the seconds since it began. A reload ends it only where its rules would not let it in any more.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use flagstone_layers::kernel::{Access, Body, Next, Request, Response, RouteSpec, handler};
use http::{
    HeaderValue, Method,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::channel::{Channel, Sender};

/// The route to the clock.
pub(crate) fn routes() -> Vec<(RouteSpec, Next)> {
    let spec = RouteSpec::new(Method::GET, "/clock", "clock", Access::AnyKey).streaming();
    vec![(spec, handler(stream))]
}

async fn stream(request: Request) -> Response {
    let refused = request.exchange().mark_stream();
    let (ticks, body) = Channel::new(1);
    tokio::spawn(async move { refused.run_until_cancelled(tick(ticks)).await });
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Sends until the client goes away.
async fn tick(mut ticks: Sender<Bytes, Infallible>) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    let mut second = 0_u64;
    loop {
        interval.tick().await;
        if ticks.send_data(format!("data: {second}\n\n").into()).await.is_err() {
            return;
        }
        second += 1;
    }
}
