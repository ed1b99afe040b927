//! What files hold, compared without keeping it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// The most bytes of a file that are looked at. A pipeline reads no file that large.
const LARGEST: u64 = 4 << 20;

/// What some files hold at one moment. What cannot be read is told apart from what is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<PathBuf, Content>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Bytes([u8; 32]),
    /// Missing, not a file or not readable.
    Unreadable(io::ErrorKind),
}

impl Fingerprint {
    /// What these files hold now.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut contents = BTreeMap::new();
        for path in paths {
            contents.entry(path.to_path_buf()).or_insert_with(|| Content::of(path));
        }
        Self(contents)
    }

    /// What the same files hold now.
    pub fn again(&self) -> Self {
        Self::of(self.paths())
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(|path| &**path)
    }

    /// Whether it tells of all of these.
    pub fn covers(&self, paths: &[PathBuf]) -> bool {
        paths.iter().all(|path| self.0.contains_key(path))
    }

    /// Forgets all but these.
    pub(crate) fn keep(&mut self, paths: &[PathBuf], always: &Path) {
        self.0.retain(|path, _| path == always || paths.contains(path));
    }
}

impl Content {
    fn of(path: &Path) -> Self {
        match hash(path) {
            Ok(hash) => Self::Bytes(hash),
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    // Opening a pipe would wait for who writes to it.
    if !path.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(Sha256::digest(&bytes).into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_tells_when_a_file_changes_goes_and_comes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let absent = Fingerprint::of([&*path]);
        fs::write(&path, "one").unwrap();
        let one = absent.again();
        assert_ne!(absent, one);
        fs::write(&path, "two").unwrap();
        assert_ne!(one, one.again());
        fs::write(&path, "one").unwrap();
        assert_eq!(one, one.again());
        fs::remove_file(&path).unwrap();
        assert_eq!(absent, one.again());
    }

    #[test]
    fn a_directory_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let fingerprint = Fingerprint::of([directory.path()]);
        assert_eq!(fingerprint, fingerprint.again());
    }
}
