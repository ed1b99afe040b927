//! What takes long is done by threads that step back behind those that serve.

use std::{fs, time::Instant};

use crate::harness::{PATIENCE, Server};

/// How much these threads step back.
const NICE: u64 = 10;
/// Enough that it is not by chance: a fifth of a second.
const TICKS: u64 = 20;

/// Processor time in ticks.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    stepped_back: u64,
    others: u64,
}

#[test]
fn passwords_are_hashed_by_threads_that_step_back() {
    let server = Server::demo();
    most_is_done_in_the_background(&server, |_| {
        server.sign_in();
    });
}

#[test]
fn pipelines_are_built_by_threads_that_step_back() {
    let server = Server::demo();
    let shipped = fs::read_to_string(server.pipeline_file()).unwrap();
    most_is_done_in_the_background(&server, |round| {
        fs::write(server.pipeline_file(), format!("{shipped}\n# {round}\n")).unwrap();
        let answer = server.admin("POST", "/pipeline/reload").send();
        assert_eq!(answer.status, 200, "{answer:?}");
    });
}

/// Does something again and again, until it has taken threads that stepped back so long that it can be told from what
/// the others took.
fn most_is_done_in_the_background(server: &Server, mut work: impl FnMut(usize)) {
    let before = spent(server);
    let deadline = Instant::now() + PATIENCE;
    for round in 0.. {
        work(round);
        let now = spent(server);
        let others = now.others.saturating_sub(before.others);
        if now.stepped_back > before.stepped_back + TICKS.max(others) {
            return;
        }
        assert!(Instant::now() < deadline, "{before:?}, {now:?}");
    }
}

/// What the threads that live now took so far (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).
fn spent(server: &Server) -> Spent {
    let mut spent = Spent::default();
    for thread in fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap() {
        // One may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(thread.unwrap().path().join("stat")) else { continue };
        // Its name, the second field, may hold blanks; the third stands behind it.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let field = |number: usize| fields.split(' ').nth(number - 3).unwrap().parse::<u64>().unwrap();
        let ticks = field(14) + field(15);
        match field(19) {
            NICE => spent.stepped_back += ticks,
            _ => spent.others += ticks,
        }
    }
    spent
}
