//! The baseline: hyper and nothing else, by HTTP/1.1 on all cores it is given.
//!
//! `GET /` answers a fixed JSON document; `GET /events` is an event stream; what is posted to `/events` goes to all of
//! these as it is. The first line it prints is its address.

use std::{convert::Infallible, io, pin::Pin, sync::LazyLock};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::{
    Method, Request, Response,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::broadcast};

/// About as long as the answer of one flag.
const DOCUMENT: &[u8] = br#"{"key":"flag-0","reason":"TARGETING_MATCH","variant":"on","value":true}"#;
const CONNECTED: &[u8] = b": connected\n\n";
/// Events that a reader may be behind.
const QUEUE: usize = 16;

static EVENTS: LazyLock<broadcast::Sender<Bytes>> = LazyLock::new(|| broadcast::Sender::new(QUEUE));

type Body = Either<Full<Bytes>, StreamBody<Events>>;
type Events = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A client that went away is no error of the server's.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let (kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/events") => ("text/event-stream", Either::Right(StreamBody::new(events()))),
        (&Method::POST, "/events") => {
            let event = request.into_body().collect().await?.to_bytes();
            // That nobody listens is fine.
            let _ = EVENTS.send(event);
            ("text/plain", Either::Left(Full::default()))
        }
        _ => ("application/json", Either::Left(Full::new(Bytes::from_static(DOCUMENT)))),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

fn events() -> Events {
    let connected = stream::iter([Bytes::from_static(CONNECTED)]);
    let events = stream::unfold(EVENTS.subscribe(), |mut events| async {
        // One that fell behind ends, as the client would notice.
        events.recv().await.ok().map(|event| (event, events))
    });
    Box::pin(connected.chain(events).map(|text| Ok(Frame::data(text))))
}
