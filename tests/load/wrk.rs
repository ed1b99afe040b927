//! Applications that ask for a flag as fast as they are answered, by wrk.

use std::{
    fmt,
    process::{Child, Command, Stdio},
};

use crate::harness::Server;

/// wrk at work. It is killed when dropped.
pub(crate) struct Load {
    child: Option<Child>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) number: u64,
    /// Per second.
    rate: u64,
    /// Microseconds.
    p99: u64,
    /// Answers that were none or not the flag's.
    pub(crate) wrong: u64,
}

impl Load {
    /// Asks for one flag on so many connections for so many seconds. Every answer is to be as the first one.
    pub(crate) fn on(server: &Server, connections: u64, seconds: u64) -> Self {
        let (path, context) =
            ("/ofrep/v1/evaluate/flags/max-items", r#"{"context":{"targetingKey":"user-1"}}"#);
        let key = server.client_key();
        let first = server.post(path).key(&key).json(&serde_json::from_str(context).unwrap()).send();
        assert_eq!((first.status, &first.json()["value"]), (200, &50.into()));
        let child = Command::new("wrk")
            .args(["-t2", &format!("-c{connections}"), &format!("-d{seconds}s"), "--timeout", "20s", "-s"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/checked.lua"))
            .arg(&server.url)
            .envs([("BENCH_METHOD", "POST"), ("BENCH_PATH", path), ("BENCH_BODY", context)])
            .env("BENCH_KEY", key)
            .env("BENCH_EXPECTED", String::from_utf8(first.body).unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .expect("wrk is there: `cargo xtask test` installs it");
        Self { child: Some(child) }
    }

    /// Waits for its end.
    pub(crate) fn answers(mut self) -> Answers {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let result =
            said.lines().find_map(|line| line.strip_prefix("result ")).expect("wrk says how it went");
        let figure = |name: &str| -> u64 {
            let value = result.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name}: {result}")).parse().unwrap()
        };
        let wrong = ["unexpected", "connect", "read", "write", "timeout"].map(figure).iter().sum();
        Answers { number: figure("answers"), rate: figure("rate"), p99: figure("p99_us"), wrong }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers/s, p99 {} µs, {} wrong", self.rate, self.p99, self.wrong)
    }
}
