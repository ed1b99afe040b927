use std::{
    io,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use http::Request;

use super::*;
use crate::{
    kernel::{Body, Fact, LayerSpec, Resources},
    testing::{States, config, prepare, send},
};

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(30);

/// Keeps what is written.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines().map(str::to_owned).collect()
    }
}

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says when it is written to, and writes only when it is let.
struct Gate {
    entered: mpsc::Sender<()>,
    let_through: mpsc::Receiver<()>,
    target: Memory,
}

impl io::Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.entered.send(()).unwrap();
        // The sender is dropped to open the gate for good.
        let _ = self.let_through.recv();
        self.target.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Full;

impl io::Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Options under which nothing is written before it is asked for.
fn patient() -> AccessLogOptions {
    AccessLogOptions { interval: Duration::from_secs(3600), ..AccessLogOptions::default() }
}

async fn request(layer: &Standalone, target: &str) {
    let seen = send(layer, Request::get(target).body(Body::empty()).unwrap()).await;
    seen.response.into_body().read().await.unwrap();
}

fn push(sink: &AccessLogSink, line: &str) {
    sink.write(|buffer, _| {
        buffer.extend_from_slice(line.as_bytes());
        buffer.push(b'\n');
    });
}

#[tokio::test]
async fn a_request_in_a_plain_tower_stack_is_one_line_without_its_query() {
    let target = Memory::default();
    let (sink, writer) = AccessLogSink::start(target.clone(), &patient()).unwrap();
    request(&AccessLog::layer(&Config::default(), &sink), "/path?token=secret").await;
    assert!(target.lines().is_empty());
    assert!(writer.flush(LONG));
    let lines = target.lines();
    assert_eq!(lines.len(), 1);
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&line["path"], &line["status"]), (&"/path".into(), &200.into()));
    assert!(!lines[0].contains("secret"));
}

#[tokio::test]
async fn the_layers_format_wins_over_the_hosts() {
    let target = Memory::default();
    let options = AccessLogOptions { format: Format::Text, ..patient() };
    let (sink, writer) = AccessLogSink::start(target.clone(), &options).unwrap();
    let resources = Resources::new().with(sink);
    for text in ["", "format = \"json\""] {
        let prepared = prepare::<Spec>(text, &resources, &mut States::default()).unwrap();
        request(&Standalone::prepared("log", prepared), "/").await;
        // Both tasks may run on one thread or on two: the order is certain only when each is written.
        assert!(writer.flush(LONG));
    }
    assert!(writer.close(LONG));
    let lines = target.lines();
    assert!(lines[0].contains(" method=GET "), "{lines:?}");
    assert!(lines[1].starts_with('{'), "{lines:?}");
}

#[test]
fn a_tick_writes_without_being_asked() {
    let (entered, writes) = mpsc::channel();
    let (open, let_through) = mpsc::channel();
    drop(open);
    let target = Memory::default();
    let gate = Gate { entered, let_through, target: target.clone() };
    let options = AccessLogOptions { interval: Duration::from_millis(1), ..AccessLogOptions::default() };
    let (sink, writer) = AccessLogSink::start(gate, &options).unwrap();
    push(&sink, "ticked");
    writes.recv_timeout(LONG).unwrap();
    assert!(writer.close(LONG));
    assert_eq!(target.lines(), ["ticked"]);
}

#[test]
fn a_buffer_that_is_half_full_does_not_wait_for_the_tick() {
    let (entered, writes) = mpsc::channel();
    let (open, let_through) = mpsc::channel();
    drop(open);
    let gate = Gate { entered, let_through, target: Memory::default() };
    let (sink, writer) =
        AccessLogSink::start(gate, &AccessLogOptions { buffer: 64 * 1000, ..patient() }).unwrap();
    let began = Instant::now();
    while writes.try_recv().is_err() {
        assert!(began.elapsed() < LONG);
        push(&sink, &"x".repeat(100));
        thread::yield_now();
    }
    assert!(writer.close(LONG));
}

#[test]
fn what_does_not_fit_is_dropped_and_counted_and_nobody_waits() {
    let (entered, writes) = mpsc::channel();
    let (open, let_through) = mpsc::channel();
    let target = Memory::default();
    let gate = Gate { entered, let_through, target: target.clone() };
    let size = 1000 * thread::available_parallelism().unwrap().get();
    let (sink, writer) = AccessLogSink::start(gate, &AccessLogOptions { buffer: size, ..patient() }).unwrap();
    push(&sink, "first");
    thread::scope(|scope| {
        let flushing = scope.spawn(|| writer.flush(LONG));
        writes.recv_timeout(LONG).unwrap();
        // The writer hangs now. This thread's buffer takes 1,000 bytes: 100 lines of 10.
        for number in 0..150 {
            push(&sink, &format!("line {number:04}"));
        }
        assert_eq!(sink.dropped(), 50);
        assert!(!writer.flush(Duration::ZERO));
        drop(open);
        assert!(flushing.join().unwrap());
    });
    assert!(writer.close(LONG));
    let lines = target.lines();
    assert_eq!(lines.len(), 101);
    assert_eq!((lines[0].as_str(), lines[100].as_str()), ("first", "line 0099"));
}

#[test]
fn neither_events_nor_requests_push_the_other_out() {
    let (entered, writes) = mpsc::channel();
    let (open, let_through) = mpsc::channel();
    let target = Memory::default();
    let gate = Gate { entered, let_through, target: target.clone() };
    let size = 1000 * thread::available_parallelism().unwrap().get();
    let options = AccessLogOptions { buffer: size, ..patient() };
    let (sink, writer) = AccessLogSink::start(gate, &options).unwrap();
    push(&sink, "first");
    thread::scope(|scope| {
        let flushing = scope.spawn(|| writer.flush(LONG));
        writes.recv_timeout(LONG).unwrap();
        // The writer hangs now. Events have 64 KiB: 512 lines of 128.
        for number in 0..600 {
            sink.event(&format!("{{\"message\":\"{number:0>113}\"}}"));
        }
        assert_eq!(sink.dropped(), 88);
        push(&sink, "a request");
        assert_eq!(sink.dropped(), 88);
        drop(open);
        assert!(flushing.join().unwrap());
    });
    assert!(writer.close(LONG));
    let lines = target.lines();
    assert_eq!(lines.len(), 1 + 512 + 1);
    assert!(lines.iter().any(|line| line == "a request"));
    let events: Vec<_> = lines.iter().filter(|line| line.starts_with('{')).collect();
    assert!(events.is_sorted(), "events keep their order");
}

/// Panics at its first line.
struct Fragile(bool, Memory);

impl io::Write for Fragile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(std::mem::replace(&mut self.0, true), "cannot write");
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_target_that_panics_does_not_end_the_log() {
    let target = Memory::default();
    let (sink, writer) = AccessLogSink::start(Fragile(false, target.clone()), &patient()).unwrap();
    push(&sink, "lost");
    assert!(writer.flush(LONG));
    push(&sink, "kept");
    assert!(writer.close(LONG));
    assert_eq!(target.lines(), ["kept"]);
    assert_eq!(sink.dropped(), 1);
}

#[test]
fn closing_writes_what_waits_and_what_comes_later_is_counted() {
    let target = Memory::default();
    let (sink, writer) = AccessLogSink::start(target.clone(), &patient()).unwrap();
    push(&sink, "in time");
    assert!(writer.close(LONG));
    push(&sink, "too late");
    assert_eq!(target.lines(), ["in time"]);
    assert_eq!(sink.dropped(), 1);
}

#[test]
fn closing_does_not_wait_for_ever_for_a_reader_that_hangs() {
    let (entered, writes) = mpsc::channel();
    let (open, let_through) = mpsc::channel();
    let gate = Gate { entered, let_through, target: Memory::default() };
    let (sink, writer) = AccessLogSink::start(gate, &patient()).unwrap();
    push(&sink, "stuck");
    assert!(!writer.flush(Duration::ZERO));
    writes.recv_timeout(LONG).unwrap();
    assert!(!writer.close(Duration::from_millis(1)));
    drop(open);
}

#[test]
fn lines_that_cannot_be_written_count_as_dropped() {
    let (sink, writer) = AccessLogSink::start(Full, &patient()).unwrap();
    push(&sink, "one");
    push(&sink, "two");
    assert!(writer.flush(LONG));
    assert_eq!(sink.dropped(), 2);
    assert!(writer.close(LONG));
}

#[test]
fn lines_of_many_threads_stay_whole() {
    let target = Memory::default();
    let options = AccessLogOptions { interval: Duration::from_micros(100), ..AccessLogOptions::default() };
    let (sink, writer) = AccessLogSink::start(target.clone(), &options).unwrap();
    thread::scope(|scope| {
        for name in 0..8 {
            let sink = &sink;
            scope.spawn(move || {
                for number in 0..1_000 {
                    push(sink, &format!("{name}:{number}:{}", "x".repeat(number % 100)));
                }
            });
        }
    });
    assert!(writer.close(LONG));
    let mut lines = target.lines();
    assert_eq!(lines.len(), 8_000);
    assert!(lines.iter().all(|line| {
        let number: usize = line.split(':').nth(1).unwrap().parse().unwrap();
        line.rsplit(':').next().unwrap().len() == number % 100
    }));
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 8_000);
    assert_eq!(sink.dropped(), 0);
}

#[test]
fn a_server_without_a_log_is_told_so() {
    let error = prepare::<Spec>("", &Resources::new(), &mut States::default()).unwrap_err();
    assert_eq!(error.to_string(), "this server provides no access log");
}

#[test]
fn it_stands_outside_what_refuses_and_inside_the_id() {
    let order = Spec::order(&config(""));
    assert!(order.sees_refusals && !order.refuses);
    assert_eq!(order.needs, [Fact::RequestId]);
}
