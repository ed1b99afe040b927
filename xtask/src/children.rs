//! Child processes, each in a process group of its own: ending the run, by Ctrl-C too, ends what the run
//! started with all that these started in turn, and nothing else.

use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::tally::{Reports, Tally};

/// Starts processes and ends them when the run is interrupted.
#[derive(Clone)]
pub(crate) struct Children {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Process groups whose leader has not been reaped, so that their ids are still theirs.
    groups: Vec<Pid>,
    interrupted: bool,
}

/// A started process. Dropping it kills its group.
pub(crate) struct Running {
    children: Children,
    child: Child,
    group: Pid,
    command: String,
}

impl Children {
    pub(crate) fn new() -> Result<Self, Failure> {
        let children = Self { state: Arc::default() };
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(Failure::Signals)?;
        let state = Arc::clone(&children.state);
        thread::spawn(move || {
            for _ in signals.forever() {
                let mut state = lock(&state);
                // Asked a second time, it no longer asks.
                let signal = if state.interrupted { Signal::KILL } else { Signal::TERM };
                state.interrupted = true;
                for group in &state.groups {
                    end(*group, signal);
                }
            }
        });
        Ok(children)
    }

    pub(crate) fn interrupted(&self) -> bool {
        lock(&self.state).interrupted
    }

    /// Runs the command to its end; anything but success is a failure.
    pub(crate) fn run(&self, command: Command) -> Result<(), Failure> {
        let mut running = self.spawn(command)?;
        let status = running.wait()?;
        self.succeed(running.command.clone(), status)
    }

    /// Runs the command to its end and returns what it wrote to its standard output.
    pub(crate) fn read(&self, mut command: Command) -> Result<Vec<u8>, Failure> {
        let name = describe(&command);
        let (mut reader, writer) = io::pipe().map_err(cannot(&name))?;
        command.stdout(writer);
        let (status, output) = self.consume(command, move || {
            let mut output = Vec::new();
            reader.read_to_end(&mut output).map(|_| output)
        })?;
        self.succeed(name, status)?;
        Ok(output)
    }

    /// Runs a test suite, passes its output on and counts the tests it reports. A suite that fails without
    /// naming a failed test counts as one; one that reports no test at all is a failure.
    pub(crate) fn count(&self, mut command: Command, reports: Reports) -> Result<Tally, Failure> {
        let name = describe(&command);
        let (reader, writer) = io::pipe().map_err(cannot(&name))?;
        // One pipe for both, so that what belongs together stays together.
        command.stderr(writer.try_clone().map_err(cannot(&name))?).stdout(writer);
        let (status, mut tally) = self.consume(command, move || pass_on_and_count(reader, reports))?;
        if self.interrupted() {
            return Err(Failure::Interrupted);
        }
        if !status.success() && tally.failed == 0 {
            tally.failed = 1;
        }
        if tally == Tally::default() {
            return Err(Failure::Problems(vec![format!("{name}: reported no test")]));
        }
        Ok(tally)
    }

    /// Runs the command to its end while `consumer` takes what it writes to a pipe. The pipe closes with the last
    /// process of the group, and `wait` has ended them all.
    fn consume<T: Send + 'static>(
        &self,
        command: Command,
        consumer: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<(ExitStatus, T), Failure> {
        let mut running = self.spawn(command)?;
        let consuming = thread::spawn(consumer);
        let status = running.wait()?;
        let consumed = consuming.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        Ok((status, consumed.map_err(cannot(&running.command))?))
    }

    /// Starts the command with nothing to read from. It owns `command`, so that no pipe stays open in here.
    pub(crate) fn spawn(&self, mut command: Command) -> Result<Running, Failure> {
        let name = describe(&command);
        command.stdin(Stdio::null()).process_group(0);
        // Held over the start, so that no interruption falls between the start and the entry.
        let mut state = lock(&self.state);
        if state.interrupted {
            return Err(Failure::Interrupted);
        }
        let child = command.spawn().map_err(cannot(&name))?;
        let group = Pid::from_child(&child);
        state.groups.push(group);
        drop(state);
        Ok(Running { children: self.clone(), child, group, command: name })
    }

    fn succeed(&self, command: String, status: ExitStatus) -> Result<(), Failure> {
        if status.success() {
            return Ok(());
        }
        if self.interrupted() {
            return Err(Failure::Interrupted);
        }
        Err(Failure::Exit { command, status })
    }
}

impl Running {
    /// Waits for the process and ends what it left behind in its group.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, Failure> {
        await_end(self.group);
        self.reap()
    }

    /// Asks the process to end, and kills it when it has not within `deadline`.
    pub(crate) fn stop(&mut self, deadline: Duration) -> Result<ExitStatus, Failure> {
        end(self.group, Signal::TERM);
        if self.ends_within(deadline, || false) {
            return self.reap();
        }
        end(self.group, Signal::KILL);
        self.wait()
    }

    /// Waits until the process has ended (true), or until `ready` holds or the deadline is over (false).
    pub(crate) fn ends_within(&self, deadline: Duration, ready: impl Fn() -> bool) -> bool {
        const LOOK: Duration = Duration::from_millis(20);
        let (ended, end) = mpsc::channel();
        let group = self.group;
        // Ends with the process, which `Running` always ends.
        thread::spawn(move || {
            await_end(group);
            // Nobody listens any more once the caller has what it waited for.
            ended.send(()).ok();
        });
        let mut left = deadline;
        loop {
            match end.recv_timeout(LOOK.min(left)) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => left = left.saturating_sub(LOOK),
            }
            if ready() || left.is_zero() {
                return false;
            }
        }
    }

    fn reap(&mut self) -> Result<ExitStatus, Failure> {
        let mut state = lock(&self.children.state);
        // The leader is not reaped yet, so the group's id cannot be anybody else's.
        end(self.group, Signal::KILL);
        state.groups.retain(|group| *group != self.group);
        self.child.wait().map_err(cannot(&self.command))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let listed = lock(&self.children.state).groups.contains(&self.group);
        if listed {
            end(self.group, Signal::KILL);
            await_end(self.group);
            // Killed already: there is nothing more to do about it here.
            self.reap().ok();
        }
    }
}

/// For `map_err` on what is done to run `program`.
fn cannot(program: &str) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure::Start { program: program.to_owned(), source }
}

/// What the command looks like on a command line.
fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn end(group: Pid, signal: Signal) {
    // It fails when the group is gone, which is what was wanted.
    kill_process_group(group, signal).ok();
}

/// Waits until the process has ended, and leaves it to be reaped.
fn await_end(process: Pid) {
    while let Err(rustix::io::Errno::INTR) =
        waitid(WaitId::Pid(process), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    {}
}

fn pass_on_and_count(reader: PipeReader, reports: Reports) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut lines = BufReader::new(reader);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        tally.read(reports, &text);
        line.clear();
    }
    Ok(tally)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // The list is whole after every statement, so a panic elsewhere does not spoil it.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn children() -> Children {
        Children { state: Arc::default() }
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_child_left_behind_ends_with_it() {
        let begun = Instant::now();
        // The one left behind holds the pipe open as long as it lives.
        let output = children().read(shell("sleep 60 & echo started")).unwrap();
        assert_eq!(output, b"started\n");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_suite_that_fails_in_silence_counts_as_a_failed_test() {
        let counted =
            children().count(shell("echo 'test result: ok. 3 passed; 0 failed;'; exit 1"), Reports::Libtest);
        assert_eq!(counted.unwrap(), Tally { passed: 3, failed: 1 });
    }

    #[test]
    fn a_suite_without_tests_is_a_failure() {
        let failure = children().count(shell("echo nothing"), Reports::Libtest).unwrap_err();
        assert!(failure.to_string().ends_with("reported no test"), "{failure}");
    }

    #[test]
    fn output_on_either_stream_is_counted() {
        let suite = shell("echo 'Ran 2 tests in 0.1s' >&2; echo OK");
        assert_eq!(children().count(suite, Reports::Unittest).unwrap(), Tally { passed: 2, failed: 0 });
    }

    /// A process that has set its trap for TERM.
    fn trapped(name: &str, trap: &str) -> Running {
        let trap_is_set = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        let script =
            format!("trap '{trap}' TERM; touch {}; while :; do sleep 0.01; done", trap_is_set.display());
        let running = children().spawn(shell(&script)).unwrap();
        assert!(!running.ends_within(Duration::from_secs(10), || trap_is_set.exists()));
        std::fs::remove_file(trap_is_set).unwrap();
        running
    }

    #[test]
    fn stopping_asks_first() {
        let status = trapped("polite", "exit 7").stop(Duration::from_secs(10)).unwrap();
        assert_eq!(status.code(), Some(7));
    }

    #[test]
    fn stopping_kills_what_does_not_listen() {
        let status = trapped("deaf", "").stop(Duration::from_millis(100)).unwrap();
        assert_eq!(status.code(), None);
    }

    #[test]
    fn waiting_ends_with_the_process_or_with_the_condition() {
        let children = children();
        let short = children.spawn(shell("exit 0")).unwrap();
        assert!(short.ends_within(Duration::from_secs(10), || false));
        let long = children.spawn(shell("sleep 1000")).unwrap();
        assert!(!long.ends_within(Duration::from_secs(1000), || true));
        assert!(!long.ends_within(Duration::from_millis(30), || false));
    }

    #[test]
    fn nothing_starts_after_an_interruption() {
        let children = children();
        lock(&children.state).interrupted = true;
        assert!(matches!(children.run(shell("exit 0")), Err(Failure::Interrupted)));
    }
}
