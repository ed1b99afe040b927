//! Many open event streams: `listeners ADDRESS PATH COUNT [KEY]`.
//!
//! Prints `connected` once all are open, and whenever all have got one more event a line of JSON: the microseconds since
//! 1970 at which the first and the last of them had it, and how long half and 99 % of them waited longer than the first.

use std::{
    env,
    error::Error,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::mpsc,
};

/// Streams that are being opened at a time.
const OPENING: usize = 64;
/// A line of a stream is shorter.
const BUFFER: usize = 512;

/// What a stream has to say.
enum News {
    Connected,
    /// It got an event at this time.
    Event(u64),
    Ended(String),
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (address, path, count, key) = match arguments.as_slice() {
        [address, path, count] => (address, path, count, None),
        [address, path, count, key] => (address, path, count, Some(key)),
        _ => return Err("usage: listeners ADDRESS PATH COUNT [KEY]".into()),
    };
    let count: usize = count.parse()?;
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n");
    if let Some(key) = key {
        request.push_str(&format!("Authorization: Bearer {key}\r\n"));
    }
    request.push_str("\r\n");

    let (news, mut heard) = mpsc::unbounded_channel();
    for opened in 0..count {
        tokio::spawn(listen(address.clone(), request.clone(), news.clone()));
        if opened >= OPENING {
            connected(&mut heard).await?;
        }
    }
    for _ in 0..OPENING.min(count) {
        connected(&mut heard).await?;
    }
    println!("connected");

    loop {
        let mut times = Vec::with_capacity(count);
        while times.len() < count {
            match heard.recv().await {
                Some(News::Event(time)) => times.push(time),
                Some(News::Ended(why)) => return Err(why.into()),
                Some(News::Connected) | None => return Err("a stream opened twice".into()),
            }
        }
        times.sort_unstable();
        let first = times.first().copied().unwrap_or_default();
        let after = |share: usize| times.get((count - 1) * share / 100).map(|time| time - first);
        let last = times.last();
        println!("{}", json!({ "first": first, "last": last, "p50": after(50), "p99": after(99) }));
    }
}

async fn connected(heard: &mut mpsc::UnboundedReceiver<News>) -> Result<(), Box<dyn Error>> {
    match heard.recv().await {
        Some(News::Connected) => Ok(()),
        Some(News::Ended(why)) => Err(why.into()),
        Some(News::Event(_)) | None => Err("an event before all were connected".into()),
    }
}

async fn listen(address: String, request: String, news: mpsc::UnboundedSender<News>) {
    let why = match read(&address, &request, &news).await {
        Ok(()) => "a stream ended".to_owned(),
        Err(error) => format!("a stream failed: {error}"),
    };
    // Whoever would hear it may have ended first.
    let _ = news.send(News::Ended(why));
}

async fn read(address: &str, request: &str, news: &mpsc::UnboundedSender<News>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut stream = BufReader::with_capacity(BUFFER, stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        if line == ": connected\n" {
            let _ = news.send(News::Connected);
        } else if line.starts_with("data: ") {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let _ = news.send(News::Event(u64::try_from(now.as_micros()).unwrap_or(u64::MAX)));
        }
        line.clear();
    }
    Ok(())
}
