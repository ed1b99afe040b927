//! The database's file: whether it is still the one that was opened, and whole.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};

use super::super::db::Access;
use super::super::db::StoreError;
use super::super::migrations;

/// 512 KiB of pages for each connection: the operating system keeps the file's pages already, and what is asked for
/// often is in the server's own memory.
const CACHE: &str = "PRAGMA cache_size = -512";
/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A database's file, as all connections to it know it.
pub(super) struct DatabaseFile {
    path: PathBuf,
    busy: Duration,
    /// As it was when a transaction last began; nothing before it was opened.
    seen: Mutex<Option<Seen>>,
    /// Why connections to it are not to be used any more.
    suspicion: Mutex<Option<String>>,
}

struct Seen {
    file: Identity,
    /// In bytes. It only grows, unless somebody else does something to it.
    length: u64,
    log: Option<Identity>,
}

/// What tells a file from another of the same name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl DatabaseFile {
    pub(super) fn new(path: PathBuf, busy: Duration) -> Self {
        Self { path, busy, seen: Mutex::default(), suspicion: Mutex::default() }
    }

    /// Makes the file where there is none.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where a database was there: its write-ahead log still is. SQLite would delete that.
    pub(super) fn create(&self) -> Result<(), StoreError> {
        let is_empty = fs::metadata(&self.path).map_or(true, |found| found.len() == 0);
        if is_empty && fs::metadata(self.log()).is_ok_and(|log| log.len() > 0) {
            return Err(StoreError::Refused(format!(
                "{} is missing or empty, but its write-ahead log {} is there: put both back from a backup, or move \
                 the log away to begin with an empty database",
                self.path.display(),
                self.log().display()
            )));
        }
        create(&self.path)
    }

    /// Remembers the file as it is: its connections are open.
    pub(super) fn opened(&self) -> Result<(), StoreError> {
        let found = fs::metadata(&self.path).map_err(|error| self.unreadable(&error))?;
        let log = fs::metadata(self.log()).ok().as_ref().map(Identity::of);
        *self.seen() = Some(Seen { file: Identity::of(&found), length: found.len(), log });
        *lock(&self.suspicion) = None;
        Ok(())
    }

    /// Whether connections are not to be used any more, and why.
    pub(super) fn suspicion(&self) -> Option<String> {
        lock(&self.suspicion).clone()
    }

    /// Says that the connections are not to be used any more. The first reason is kept.
    pub(super) fn suspect(&self, reason: &str) {
        let mut suspicion = lock(&self.suspicion);
        if suspicion.is_none() {
            tracing::error!(path = %self.path.display(), reason, "the database is unavailable until it is whole again");
            *suspicion = Some(reason.to_owned());
        }
    }

    /// Whether the file is the one that was opened, and no shorter. Connections would go on with what they remember
    /// of it, and write parts of that over whatever is there now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] until all connections were opened anew.
    pub(super) fn verify(&self) -> Result<(), StoreError> {
        let reason = match (self.suspicion(), self.change()) {
            (Some(reason), _) => reason,
            (None, Some(reason)) => {
                self.suspect(&reason);
                reason
            }
            (None, None) => return Ok(()),
        };
        Err(StoreError::Unavailable(reason))
    }

    /// What somebody else did to the file.
    fn change(&self) -> Option<String> {
        let mut seen = self.seen();
        let seen = seen.as_mut()?;
        // Under the lock, so that the lengths that threads see come in their order.
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(error) => return Some(format!("its file is gone: {error}")),
        };
        if Identity::of(&found) != seen.file {
            return Some("its file was replaced".to_owned());
        }
        if found.len() < seen.length {
            return Some(format!("its file shrank from {} to {} bytes", seen.length, found.len()));
        }
        seen.length = found.len();
        None
    }

    /// Opens a connection. One that writes checks the file first.
    pub(super) fn connect(&self, access: Access) -> Result<Connection, StoreError> {
        let again = self.seen().is_some();
        if again && access == Access::Write {
            self.inspect()?;
        }
        // Readers are opened for writing too, as WAL needs it; `query_only` keeps them from changing anything.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(&self.path, flags).map_err(|error| self.failed(&error))?;
        // SQLite makes do with reading. The files it would make beside it could then not be written either.
        if connection.is_readonly(MAIN_DB).unwrap_or(false) {
            return Err(StoreError::Unavailable(format!(
                "{} can only be read: let the user that this program runs as write it and its folder",
                self.path.display()
            )));
        }
        configure(&connection, access, self.busy).map_err(|error| self.failed(&error))?;
        if access == Access::Write
            && let Err(error) = self.check(&connection, again)
        {
            abandon(connection);
            return Err(error);
        }
        Ok(connection)
    }

    /// Closes a connection. The last one to be closed folds the write-ahead log into the file, but not into one that
    /// somebody changed.
    pub(super) fn disconnect(&self, connection: Connection) {
        if self.verify().is_err() {
            abandon(connection);
        }
    }

    /// Looks at the file before SQLite does, which takes an empty one for a new database and one beside another's
    /// write-ahead log for a database with changes to be made.
    fn inspect(&self) -> Result<(), StoreError> {
        let mut magic = [0; MAGIC.len()];
        let mut file = File::open(&self.path).map_err(|error| self.unreadable(&error))?;
        if file.read_exact(&mut magic).is_err() || &magic != MAGIC {
            return Err(StoreError::Unavailable(
                "its file is no database any more: put it back from a backup".to_owned(),
            ));
        }
        let found = file.metadata().map_err(|error| self.unreadable(&error))?;
        let seen = self.seen();
        let Some(seen) = seen.as_ref() else { return Ok(()) };
        let log = fs::metadata(self.log()).ok().as_ref().map(Identity::of);
        if Identity::of(&found) != seen.file && log.is_some() && log == seen.log {
            let aside = suffixed(&self.path, "-wal.replaced");
            fs::rename(self.log(), &aside).map_err(|error| self.unreadable(&error))?;
            tracing::warn!(
                to = %aside.display(),
                "moved the write-ahead log of the replaced database aside: it is none of the new one's"
            );
        }
        Ok(())
    }

    /// Whether all pages are there and, where it was open before, its schema is the one it had.
    fn check(&self, connection: &Connection, again: bool) -> Result<(), StoreError> {
        let found: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .unwrap_or_else(|error| error.to_string());
        if found != "ok" {
            return Err(self.damaged(&found));
        }
        if again && !migrations::are_applied(connection).unwrap_or(false) {
            return Err(StoreError::Unavailable(
                "its file was replaced by one with another schema: put the right one back, or restart"
                    .to_owned(),
            ));
        }
        set_kept_log(connection, false).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => self.damaged(&error.to_string()),
            Some(ErrorCode::CannotOpen) => self.unopenable(error),
            _ => StoreError::Unavailable(format!("{}: {error}", self.path.display())),
        }
    }

    fn damaged(&self, reason: &str) -> StoreError {
        StoreError::Refused(format!(
            "{} is damaged or is not a database of this program ({reason}): restore it from a backup",
            self.path.display()
        ))
    }

    fn unreadable(&self, error: &std::io::Error) -> StoreError {
        StoreError::Unavailable(format!("{} cannot be read: {error}", self.path.display()))
    }

    /// SQLite does not say why it cannot open a file; asking again does.
    fn unopenable(&self, error: &rusqlite::Error) -> StoreError {
        let path = self.path.display();
        StoreError::Unavailable(if self.path.is_dir() {
            format!("{path} is a folder: name a file in it")
        } else if let Err(error) = fs::OpenOptions::new().read(true).write(true).open(&self.path) {
            format!(
                "{path} cannot be opened: {error}: let the user that this program runs as read and write it"
            )
        } else {
            format!("{path}: {error}: let the user that this program runs as write its folder too")
        })
    }

    fn log(&self) -> PathBuf {
        suffixed(&self.path, "-wal")
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        lock(&self.seen)
    }
}

impl Identity {
    fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Closes a connection and leaves file and write-ahead log as they are.
fn abandon(connection: Connection) {
    if let Err(error) = set_kept_log(&connection, true) {
        tracing::error!(%error, "the write-ahead log may be folded into a changed file");
    }
    drop(connection);
}

/// Whether closing the last connection leaves the write-ahead log alone.
fn set_kept_log(connection: &Connection, kept: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, kept).map(drop)
}

/// Makes the file, readable by its owner only, and its folder.
fn create(path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::Unavailable(format!("{} cannot be made: {error}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(failed)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Turns the write-ahead log on. Where two do so at the same moment SQLite tells one of them at once that the other is
/// at it, without waiting as it does elsewhere: so the waiting is done here.
fn write_ahead(connection: &Connection, busy: Duration) -> rusqlite::Result<String> {
    const PAUSE: Duration = Duration::from_millis(5);
    let deadline = Instant::now() + busy;
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                thread::park_timeout(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

fn configure(connection: &Connection, access: Access, busy: Duration) -> rusqlite::Result<()> {
    // First of all: what follows reads the file, and where that fails the connection is closed.
    set_kept_log(connection, true)?;
    connection.busy_timeout(busy)?;
    connection.execute_batch(CACHE)?;
    if access == Access::Read {
        connection.execute_batch("PRAGMA query_only = ON;")?;
        return set_kept_log(connection, false);
    }
    let mode = write_ahead(connection, busy)?;
    if mode != "wal" {
        tracing::warn!(mode, "the file system takes no write-ahead log: readers wait for writers");
    }
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
}
