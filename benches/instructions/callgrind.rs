//! Counts by callgrind: of a server that runs under it, for requests one after the other on one connection.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    ops::Sub,
    path::Path,
    process::Command,
};

use serde::{Deserialize, Serialize};

use crate::harness::{Server, Setup};

/// Requests before any is counted: what is made once is made by then.
const WARM_UP: u64 = 500;
const COUNTED: u64 = 1000;
/// What allocates.
const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];

/// What one request costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// In user space.
    pub(crate) instructions: u64,
    pub(crate) allocations: u64,
}

/// Starts a server under callgrind and counts what each of the same request costs it.
pub(crate) fn cost(setup: Setup, request: impl FnOnce(&Server) -> String) -> Cost {
    let file = setup.folder().join("callgrind");
    let server = setup
        .variable("TOKIO_WORKER_THREADS", "1")
        .variable("PATH", &std::env::var("PATH").unwrap())
        .launched_by(&[
            "valgrind",
            "--quiet",
            "--tool=callgrind",
            // The start is not counted, and much quicker so.
            "--instr-atstart=no",
            &format!("--callgrind-out-file={}", file.display()),
        ])
        .start();
    let request = request(&server);
    let mut connection = TcpStream::connect(server.address()).unwrap();
    control(&server, &["--instr=on"]);
    ask(&mut connection, &request, WARM_UP);
    control(&server, &["--dump"]);
    ask(&mut connection, &request, COUNTED);
    control(&server, &["--dump"]);
    read(&file.with_extension("2"))
}

/// Sends a request again and again, each after the last one's answer.
fn ask(connection: &mut TcpStream, request: &str, times: u64) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    for _ in 0..times {
        connection.write_all(request.as_bytes()).unwrap();
        let mut length = None;
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = Some(value.trim().parse().unwrap());
            }
        }
        let mut body = vec![0; length.expect("a length")];
        reader.read_exact(&mut body).unwrap();
    }
}

/// Tells callgrind something: `--dump` writes the counts since the last time and counts from zero.
fn control(server: &Server, arguments: &[&str]) {
    let done =
        Command::new("callgrind_control").args(arguments).arg(server.pid().to_string()).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// Reads a file of counts (<https://valgrind.org/docs/manual/cl-format.html>).
fn read(file: &Path) -> Cost {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut instructions = None;
    let mut allocations = 0;
    // A name stands where it is first used; later there is only its number.
    let mut allocators = HashSet::new();
    let mut calls_allocator = false;
    for line in text.lines() {
        if let Some(function) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if ALLOCATORS.contains(&name) {
                allocators.insert(number);
            }
            calls_allocator = line.starts_with('c') && allocators.contains(number);
        } else if let Some(calls) = line.strip_prefix("calls=") {
            if calls_allocator {
                allocations += calls.split(' ').next().and_then(|count| count.parse::<u64>().ok()).unwrap();
            }
        } else if let Some(total) = line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")) {
            instructions = Some(total.trim().parse::<u64>().unwrap());
        }
    }
    Cost {
        instructions: instructions.expect("a total") / COUNTED,
        allocations: (allocations + COUNTED / 2) / COUNTED,
    }
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            instructions: self.instructions - other.instructions,
            allocations: self.allocations - other.allocations,
        }
    }
}
