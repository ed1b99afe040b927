use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// What lines are written to: standard output or a file.
pub(super) enum Target {
    Stdout(File),
    File(LogFile),
}

/// A file that lines are added to. Where it was renamed or removed, as rotation does, it is made anew.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    identity: Identity,
}

/// The device and the number of a file on it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

// === impl Target ===

impl Target {
    /// Standard output. Its lines are written whole already, so that they need no further buffer, nor its lock.
    pub(super) fn stdout() -> io::Result<Self> {
        Ok(Self::Stdout(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
    }

    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::File(LogFile::open(path)?))
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(file) => file.write(bytes),
            Self::File(log) => log.file.write(bytes),
        }
    }

    /// Comes after all that waited was written: the moment to look whether the file is still the one that is meant.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(log) => log.follow(),
        }
    }
}

// === impl LogFile ===

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o640);
        // A pipe that nobody reads yet: opened for both, it neither waits for a reader nor ends with one.
        if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
            options.read(true).create(false);
        }
        let file = options.open(path)?;
        let identity = Identity::of(&file.metadata()?);
        Ok(Self { path: path.to_owned(), file, identity })
    }

    /// Goes on in a new file where the path has another one or none. Until that can be opened, in the old one.
    fn follow(&mut self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|found| Identity::of(&found) == self.identity) {
            return Ok(());
        }
        let path = self.path.display();
        *self = Self::open(&self.path).map_err(|error| {
            io::Error::new(error.kind(), format!("{path} was moved away and cannot be opened anew: {error}"))
        })?;
        Ok(())
    }
}

// === impl Identity ===

impl Identity {
    fn of(file: &fs::Metadata) -> Self {
        Self(file.dev(), file.ino())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: &mut Target, text: &str) {
        target.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_that_was_renamed_or_removed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let read = |name: &str| fs::read_to_string(path(name)).unwrap();
        let mut target = Target::file(&path("log")).unwrap();
        line(&mut target, "1\n");
        target.flush().unwrap();
        fs::rename(path("log"), path("log.1")).unwrap();
        line(&mut target, "2\n");
        target.flush().unwrap();
        line(&mut target, "3\n");
        assert_eq!((read("log.1"), read("log")), ("1\n2\n".to_owned(), "3\n".to_owned()));
        fs::remove_file(path("log")).unwrap();
        target.flush().unwrap();
        line(&mut target, "4\n");
        assert_eq!(read("log"), "4\n");
        fs::write(path("log"), "").unwrap();
        line(&mut target, "5\n");
        assert_eq!(read("log"), "5\n", "one that was emptied is added to");
    }

    #[test]
    fn until_it_can_be_made_anew_the_old_file_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, moved) = (folder.path().join("logs"), folder.path().join("moved"));
        fs::create_dir(&inner).unwrap();
        let mut target = Target::file(&inner.join("log")).unwrap();
        fs::rename(&inner, &moved).unwrap();
        line(&mut target, "1\n");
        let error = target.flush().unwrap_err().to_string();
        assert!(error.contains("logs/log was moved away and cannot be opened anew"), "{error}");
        line(&mut target, "2\n");
        assert_eq!(fs::read_to_string(moved.join("log")).unwrap(), "1\n2\n");
        fs::create_dir(&inner).unwrap();
        target.flush().unwrap();
        line(&mut target, "3\n");
        assert_eq!(fs::read_to_string(inner.join("log")).unwrap(), "3\n");
    }
}
