//! What a test asks of the machine: a small disk, a user without rights.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::channel,
    time::Duration,
};

use crate::harness::{Setup, binary};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

/// A file system of its own; unmounted when dropped.
pub(crate) struct SmallDisk {
    folder: PathBuf,
}

// === impl SmallDisk ===

impl SmallDisk {
    /// One of this size, such as `4m`; nothing where the test may not mount.
    pub(crate) fn mount(folder: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "flagstone-test"]).arg(&folder);
        mount.status().is_ok_and(|status| status.success()).then_some(Self { folder })
    }

    /// Writes until nothing more fits. Returns the file that takes the room.
    pub(crate) fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.folder.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        let mut size = 1 << 20;
        while size > 0 {
            if file.write_all(&vec![0; size]).is_err() {
                size /= 2;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

/// Whether the test may do all, as root does.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The same server as a user that owns nothing but the setup's folder. Whoever is no root runs it as himself.
pub(crate) fn unprivileged(setup: Setup) -> Setup {
    if !is_root() {
        return setup;
    }
    let own_binary = setup.folder().join("flagstone");
    fs::copy(binary(), &own_binary).unwrap();
    give_away(setup.folder());
    let user = format!("--reuid={NOBODY}");
    let group = format!("--regid={NOBODY}");
    setup.binary(own_binary).launched_by(&["setpriv", &user, &group, "--clear-groups"])
}

/// Gives a file, or a folder with all in it, to the user that owns nothing.
pub(crate) fn give_away(path: &Path) {
    if !is_root() {
        return;
    }
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
}

/// Lets this much time pass: for what is about time itself.
pub(crate) fn pass(time: Duration) {
    let (_keep, never) = channel::<()>();
    let _ = never.recv_timeout(time);
}
