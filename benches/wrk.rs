//! wrk, which asks and checks every answer.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{flags, harness::Server, machine::CLIENT_CORES, project};

/// What is asked, and how the answer begins.
pub(crate) struct Question {
    url: String,
    method: &'static str,
    path: String,
    body: String,
    key: Option<String>,
    expected: String,
    /// Between an answer and the next question, on average.
    pause: Duration,
}

/// wrk at work. It is killed when dropped.
pub(crate) struct Asking(Option<Child>);

/// What came of it. Every answer was the right one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers {
    pub(crate) number: u64,
    /// Per second.
    pub(crate) rate: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

// === impl Question ===

impl Question {
    /// `GET /`, of the baseline.
    pub(crate) fn bare(url: &str, expected: &str) -> Self {
        Self {
            url: url.to_owned(),
            method: "GET",
            path: "/".to_owned(),
            body: String::new(),
            key: None,
            expected: expected.to_owned(),
            pause: Duration::ZERO,
        }
    }

    /// An evaluation by OFREP: of this flag, or of all where the path ends there.
    pub(crate) fn ofrep(server: &Server, key: &str, flag: &str, body: String, expected: String) -> Self {
        Self {
            url: server.url.clone(),
            method: "POST",
            path: format!("/ofrep/v1/evaluate/flags{flag}"),
            body,
            key: Some(key.to_owned()),
            expected,
            pause: Duration::ZERO,
        }
    }

    /// The first of the flags that are measured, which goes through all of its rules. The answer is always the same.
    pub(crate) fn one_flag(server: &Server, key: &str) -> Self {
        let path = format!("/{}", flags::key(0));
        Self::ofrep(server, key, &path, project::question(), flags::ofrep_answer(0))
    }

    /// With this pause, on average, between an answer and the next question.
    pub(crate) fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Asks on so many connections for so long.
    pub(crate) fn ask(&self, connections: u32, time: Duration) -> Asking {
        let mut command = Command::new("taskset");
        command
            .args(["-c", CLIENT_CORES])
            .args([
                "wrk",
                "-t2",
                &format!("-c{connections}"),
                &format!("-d{}s", time.as_secs()),
                "--timeout",
                "10s",
            ])
            .args(["-s", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/checked.lua"), &self.url])
            .env("BENCH_METHOD", self.method)
            .env("BENCH_PATH", &self.path)
            .env("BENCH_BODY", &self.body)
            .env("BENCH_EXPECTED", &self.expected)
            .env("BENCH_PAUSE", self.pause.as_millis().to_string())
            .stdout(Stdio::piped());
        if let Some(key) = &self.key {
            command.env("BENCH_KEY", key);
        }
        Asking(Some(command.spawn().expect("wrk and taskset are there: `cargo xtask bench` installs them")))
    }
}

// === impl Asking ===

impl Asking {
    /// Waits for its end. An answer that was none, or not the one expected, is the end of the bench.
    pub(crate) fn answers(mut self) -> Answers {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let result = said.lines().find_map(|line| line.strip_prefix("result "));
        let result = result.unwrap_or_else(|| panic!("wrk does not say how it went: {said}"));
        let figure = |name: &str| -> u64 {
            let value = result.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name}: {result}")).parse().unwrap()
        };
        for wrong in ["unexpected", "connect", "read", "write", "timeout"] {
            assert_eq!(figure(wrong), 0, "{result}");
        }
        assert!(figure("answers") > 0, "{result}");
        Answers {
            number: figure("answers"),
            rate: figure("rate"),
            p50: Duration::from_micros(figure("p50_us")),
            p99: Duration::from_micros(figure("p99_us")),
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
