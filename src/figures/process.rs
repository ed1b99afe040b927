//! What the operating system says of the process, under the names every Prometheus client uses.

/// Figures of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) threads: u64,
    pub(super) open_files: u64,
    pub(super) file_limit: u64,
    /// Since 1970.
    pub(super) started_seconds: f64,
}

// === impl Process ===

impl Process {
    /// Reads `/proc/self`; `None` where there is none, or where a file of it cannot be read.
    #[cfg(target_os = "linux")]
    pub(super) fn read() -> Option<Self> {
        use procfs::{CurrentSI as _, KernelStats, page_size, process::LimitValue, ticks_per_second};

        let process = procfs::process::Process::myself().ok()?;
        let stat = process.stat().ok()?;
        let ticks = ticks_per_second() as f64;
        let booted = KernelStats::current().ok()?.btime as f64;
        let file_limit = match process.limits().ok()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => limit,
            LimitValue::Unlimited => u64::MAX,
        };
        Some(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            resident_bytes: stat.rss * page_size(),
            virtual_bytes: stat.vsize,
            threads: stat.num_threads.try_into().unwrap_or_default(),
            open_files: process.fd_count().ok()? as u64,
            file_limit,
            started_seconds: booted + stat.starttime as f64 / ticks,
        })
    }

    /// Only Linux has `/proc`.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read() -> Option<Self> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs::File, time::SystemTime};

    use super::*;

    #[test]
    fn the_figures_are_those_of_this_process() {
        let before = Process::read().unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - before.started_seconds).abs() < 3_600.0, "{before:?} at {now}");
        assert!(
            before.resident_bytes > 1 << 20 && before.virtual_bytes > before.resident_bytes,
            "{before:?}"
        );
        assert!(before.threads >= 1 && before.open_files < before.file_limit, "{before:?}");
        let files: Vec<File> = (0..100).map(|_| File::open("/proc/self/stat").unwrap()).collect();
        let after = Process::read().unwrap();
        // Other tests of this process open and close files, too: not nearly as many.
        assert!(after.open_files >= before.open_files + files.len() as u64 / 2, "{before:?} {after:?}");
        assert!(after.cpu_seconds >= before.cpu_seconds);
    }
}
