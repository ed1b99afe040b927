use std::io;

use crate::kernel::Panic;

/// Where lines go. After a failure in the middle of a line, the next one begins on a line of its own.
pub(super) struct Output<W> {
    target: W,
    torn: bool,
}

/// Lines that could not be written, and why.
pub(super) struct Lost {
    pub(super) lines: u64,
    pub(super) error: io::Error,
}

impl<W: io::Write> Output<W> {
    pub(super) fn new(target: W) -> Self {
        Self { target, torn: false }
    }

    /// Writes whole lines. What was written before a failure is not lost.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
        let lost = |rest: &[u8], error| {
            let lines = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
            Lost { lines, error }
        };
        if self.torn && !lines.is_empty() {
            caught(|| self.target.write_all(b"\n")).map_err(|error| lost(lines, error))?;
            self.torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match caught(|| self.target.write(rest)) {
                Ok(0) => return Err(lost(rest, io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    let (done, left) = rest.split_at(written.min(rest.len()));
                    self.torn = !done.ends_with(b"\n");
                    rest = left;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(rest, error)),
            }
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        caught(|| self.target.flush())
    }
}

/// A target that panics fails: the log goes on.
fn caught<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    Panic::catch(write)
        .unwrap_or_else(|panic| Err(io::Error::other(format!("what writes it panicked: {panic}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then no more until there is room again.
    struct Disk {
        room: usize,
        bytes: Vec<u8>,
    }

    impl io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.get(..self.room).unwrap_or(bytes);
            if taken.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken.len();
            self.bytes.extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_torn_spoils_no_other_and_only_lost_lines_count() {
        let mut output = Output::new(Disk { room: 8, bytes: Vec::new() });
        let lost = output.write(b"first\nsecond\nthird\n").err().unwrap();
        assert_eq!((lost.lines, lost.error.kind()), (2, io::ErrorKind::StorageFull));
        assert_eq!(output.write(b"fourth\n").err().unwrap().lines, 1);
        output.target.room = 100;
        assert!(output.write(b"fifth\n").is_ok() && output.write(b"sixth\n").is_ok());
        assert_eq!(String::from_utf8_lossy(&output.target.bytes), "first\nse\nfifth\nsixth\n");
    }
}
