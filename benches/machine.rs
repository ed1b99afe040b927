//! What measuring takes of the machine: cores for the server and others for its clients, processes' times and memory.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::harness::Setup;

pub(crate) const SERVER_CORES: &str = "0,1";
pub(crate) const CLIENT_CORES: &str = "2,3";
/// What the kernel counts a process's time in: a hundred a second on all of Linux.
const TICK: Duration = Duration::from_millis(10);
/// More open files than any bench has; the hard limit stays.
const FILES: &str = "--nofile=16384:";

/// One of the programs beside this. It is killed when dropped.
pub(crate) struct Program {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// The demonstration, as [`measured`].
pub(crate) fn server() -> Setup {
    measured(Setup::demo())
}

/// A server on its cores, with its log in a file and a limit for evaluation that is live, but never met.
pub(crate) fn measured(setup: Setup) -> Setup {
    setup
        .variable("LOG_FILE", "log.json")
        .variable("FLAGSTONE_LOG__LEVEL", "error")
        .launched_by(&["prlimit", FILES, "taskset", "-c", SERVER_CORES])
        .pipeline(|text| {
            let raised = text.replace("requests = 5000", "requests = 100000000");
            assert!(raised != text, "the shipped limit is another");
            raised
        })
}

/// The machine in general terms, for the report.
pub(crate) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown");
    let kernel = read("/proc/sys/kernel/osrelease");
    let version: String =
        kernel.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores ({model}), Linux {version}, load before {load}")
}

/// The processor time that a process has had.
pub(crate) fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name in parentheses may hold anything; the fields after it are counted from the third.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    TICK * ticks
}

/// A process's resident memory in KiB.
pub(crate) fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The one in the middle.
pub(crate) fn median<T: Copy + PartialOrd>(values: &mut [T]) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("no figure is NaN"));
    values[values.len() / 2]
}

// === impl Program ===

impl Program {
    /// Starts one on these cores.
    pub(crate) fn start(cores: &str, name: &str, arguments: &[&str]) -> Self {
        let folder = std::env::var_os("FLAGSTONE_BENCH_PROGRAMS")
            .expect("FLAGSTONE_BENCH_PROGRAMS is to be where they were built: `cargo xtask bench` sets it");
        let mut child = Command::new("prlimit")
            .args([FILES, "taskset", "-c", cores])
            .arg(PathBuf::from(folder).join(name))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the program ended: {:?}", self.child.try_wait());
        line.trim_end().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
