//! A node program to compare with.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::harness::{Request, Server};

/// A running program that listens. It is killed when dropped.
pub(crate) struct Program {
    child: Child,
    url: String,
    agent: ureq::Agent,
}

impl Program {
    /// One of this folder's, which prints its port. It is asked as the server is.
    pub(crate) fn start(script: &str, arguments: &[&str], server: &Server) -> Self {
        let mut child = Command::new("node")
            .arg(script)
            .args(arguments)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is there: `cargo xtask test` installs it");
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        assert!(!port.is_empty(), "{script} ended at its start");
        Self { child, url: format!("http://127.0.0.1:{}", port.trim()), agent: server.agent() }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.agent, method, format!("{}{path}", self.url))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
