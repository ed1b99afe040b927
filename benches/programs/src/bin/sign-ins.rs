//! Sign-ins at a fixed rate, however long each takes: `sign-ins ADDRESS RATE SECONDS EMAIL PASSWORD one|many`.
//!
//! One in ten has the right password; the others try people that are not there. They come from one address, or each from
//! one of its own, as `X-Forwarded-For` says. Prints how many answers there were of each status.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// Which of them have the right password.
const RIGHT: u32 = 10;
/// Addresses that are nobody's (RFC 2544).
const ADDRESSES: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

type Failure = Box<dyn Error + Send + Sync>;

/// Who signs in where.
struct Client {
    address: String,
    email: String,
    password: String,
    many: bool,
    /// Connections that are free.
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, rate, seconds, email, password, addresses] = arguments.as_slice() else {
        return Err("usage: sign-ins ADDRESS RATE SECONDS EMAIL PASSWORD one|many".into());
    };
    let (rate, seconds): (u32, u32) = (rate.parse()?, seconds.parse()?);
    let client = Arc::new(Client {
        address: address.clone(),
        email: email.clone(),
        password: password.clone(),
        many: addresses == "many",
        idle: Mutex::default(),
    });
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut attempts = JoinSet::new();
    for number in 0..rate * seconds {
        ticks.tick().await;
        let client = Arc::clone(&client);
        attempts.spawn(async move { client.sign_in(number).await });
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    while let Some(attempt) = attempts.join_next().await {
        *counts.entry(attempt??.to_string()).or_default() += 1;
    }
    println!("{}", json!(counts));
    Ok(())
}

// === impl Client ===

impl Client {
    /// Signs in once. Returns the status of the answer.
    async fn sign_in(&self, number: u32) -> Result<u16, Failure> {
        let mut connection = self.connection().await?;
        let body = match number % RIGHT {
            0 => json!({ "email": self.email, "password": self.password }),
            _ => {
                json!({ "email": format!("user-{number}@example.com"), "password": "no such password at all" })
            }
        };
        let from = if self.many { Ipv4Addr::from_bits(ADDRESSES.to_bits() + number) } else { ADDRESSES };
        let request = Request::post("/api/auth/login")
            .header(HOST, &self.address)
            .header(CONTENT_TYPE, "application/json")
            .header("x-forwarded-for", from.to_string())
            .body(Full::new(Bytes::from(body.to_string())))?;
        let answer = connection.send_request(request).await?;
        let status = answer.status().as_u16();
        answer.into_body().collect().await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(status)
    }

    /// A connection that is free, or a new one.
    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut connection) = idle
            && connection.ready().await.is_ok()
        {
            return Ok(connection);
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its errors are those of the requests on it.
        tokio::spawn(connection);
        Ok(sender)
    }
}
