//! Mounting and unmounting.
//!
//! Root mounts by itself; others through `fusermount3`, which hands over the device by a socket. `fuser`
//! could do both, but would unmount whatever lies at the path when it ends, also another's later mount.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use thiserror::Error;

use crate::options::MountOptions;

/// The type by which it is listed among the mounts.
const TYPE: &str = "fuse.emberfs";
/// What mounts and unmounts for those who are not root.
const HELPER: &str = "fusermount3";

/// Where something of ours is mounted.
#[derive(Debug)]
pub struct MountPoint {
    path: PathBuf,
    /// As the kernel lists it, so that no other is unmounted.
    listed: Option<Listed>,
}

/// One line of the kernel's list of mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    /// The mount's number.
    id: u64,
    /// The file system's: `0:57`.
    device: String,
    /// The path, as it is written there.
    path: String,
    /// The type of the file system.
    kind: String,
}

/// Why something was not mounted or unmounted.
#[derive(Debug, Error)]
pub enum MountError {
    /// There is no directory to mount at.
    #[error("{}: {source}", path.display())]
    Path {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One of ours is there, without its daemon.
    #[error("{0} is a mount without a daemon: `emberfs umount --force {0}`", path.display())]
    Dead {
        /// Where.
        path: PathBuf,
    },
    /// One of ours is there, and works.
    #[error("{} is mounted already", path.display())]
    Mounted {
        /// Where.
        path: PathBuf,
    },
    /// The kernel's module is not loaded, or not for us.
    #[error("/dev/fuse: {source} (`modprobe fuse`?)")]
    Device {
        /// Why.
        source: io::Error,
    },
    /// The system refused.
    #[error("cannot {what} at {}: {source}", path.display())]
    Refused {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `fusermount3` refused, in its own words.
    #[error("{HELPER}: {text}")]
    Helper {
        /// Its words.
        text: String,
    },
    /// Mounted, but the kernel and we did not come to terms.
    #[error("the kernel's FUSE: {source}")]
    Protocol {
        /// Why.
        source: io::Error,
    },
}

impl MountPoint {
    /// Mounts; the descriptor by which the kernel asks.
    pub(super) fn mount(options: &MountOptions) -> Result<(Self, OwnedFd), MountError> {
        let at = |source: io::Error| match source.kind() {
            io::ErrorKind::NotConnected => MountError::Dead { path: options.path.clone() },
            _ => MountError::Path { path: options.path.clone(), source },
        };
        let path = std::fs::canonicalize(&options.path).map_err(at)?;
        let mode = std::fs::metadata(&path).map_err(at)?.mode();
        if topmost(&mounts(), &path).is_some_and(|mount| mount.kind == TYPE) {
            return Err(MountError::Mounted { path });
        }
        let device =
            if is_root() { by_itself(&path, mode, options)? } else { by_helper(&path, options)? };
        let listed = topmost(&mounts(), &path);
        Ok((Self { path, listed }, device))
    }

    /// The file system's device and the path, as the kernel lists them.
    #[must_use]
    pub fn listed(&self) -> Option<(&str, &str)> {
        self.listed.as_ref().map(|listed| (listed.device.as_str(), listed.path.as_str()))
    }

    /// Unmounts, if it is still there.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn unmount(&self) -> Result<(), MountError> {
        if self.listed.is_none() || topmost(&mounts(), &self.path) != self.listed {
            return Ok(());
        }
        if !is_root() {
            return helped(Command::new(HELPER).args(["-u", "-z", "--"]).arg(&self.path));
        }
        let refused = |error: rustix::io::Errno| MountError::Refused {
            what: "unmount",
            path: self.path.clone(),
            source: error.into(),
        };
        rustix::mount::unmount(&self.path, UnmountFlags::DETACH).map_err(refused)
    }
}

/// Changes the flags of a mount that is there.
///
/// # Errors
/// [`MountError`].
pub fn remount(options: &MountOptions) -> Result<(), MountError> {
    rustix::mount::mount_remount(&options.path, options.flags, "").map_err(|error| {
        let path = options.path.clone();
        MountError::Refused { what: "remount", path, source: error.into() }
    })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn by_itself(path: &Path, mode: u32, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let refused = |source| MountError::Refused { what: "mount", path: path.to_owned(), source };
    let device = File::options().read(true).write(true).open("/dev/fuse");
    let device = OwnedFd::from(device.map_err(|source| MountError::Device { source })?);
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    let others = if options.allow_other { ",allow_other" } else { "" };
    let data = format!(
        "fd={},rootmode={mode:o},user_id={},group_id={}{others}",
        device.as_raw_fd(),
        uid.as_raw(),
        gid.as_raw()
    );
    let data = CString::new(data).expect("no zero byte in numbers");
    rustix::mount::mount(options.source.as_str(), path, TYPE, options.flags, data.as_c_str())
        .map_err(|error| refused(error.into()))?;
    Ok(device)
}

fn by_helper(path: &Path, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let failed = |source| MountError::Protocol { source };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let escaped = options.source.replace('\\', "\\\\").replace(',', "\\,");
    let mut words = format!("fsname={escaped},subtype=emberfs");
    for (flag, word) in [
        (MountFlags::RDONLY, "ro"),
        (MountFlags::NOEXEC, "noexec"),
        (MountFlags::NOATIME, "noatime"),
    ] {
        if options.flags.contains(flag) {
            words = format!("{words},{word}");
        }
    }
    if options.allow_other {
        words.push_str(",allow_other");
    }
    // The socket is its standard input: the only descriptor that it is given by us.
    let theirs = Stdio::from(OwnedFd::from(theirs));
    let mut helper = Command::new(HELPER);
    helper.args(["-o", &words, "--"]).arg(path).env("_FUSE_COMMFD", "0").stdin(theirs);
    helped(&mut helper)?;
    received(&ours).map_err(failed)
}

fn helped(helper: &mut Command) -> Result<(), MountError> {
    let failed = |error: io::Error| MountError::Helper { text: error.to_string() };
    let output = helper.output().map_err(failed)?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(MountError::Helper { text })
        }
    }
}

/// The descriptor that a message carries.
fn received(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut carried = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut carried, flags)?;
    let descriptors = carried.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptor = descriptors.flatten().next();
    descriptor.ok_or_else(|| io::Error::other("no descriptor was handed over"))
}

fn mounts() -> String {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

/// The topmost mount at a path.
fn topmost(mounts: &str, path: &Path) -> Option<Listed> {
    let path = path.to_str()?;
    // The kernel writes these four in octal, so that they part no words and lines.
    let escaped = path.replace('\\', "\\134").replace(' ', "\\040");
    let path = escaped.replace('\t', "\\011").replace('\n', "\\012");
    let here = |line: &&str| line.split(' ').nth(4) == Some(path.as_str());
    let (mount, system) = mounts.lines().rfind(here)?.split_once(" - ")?;
    let mut fields = mount.split(' ');
    let (id, device) = (fields.next()?.parse().ok()?, fields.nth(1)?.to_owned());
    Some(Listed { id, device, path, kind: system.split(' ').next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_mount_of_a_path_is_found() {
        let mounts = "21 1 8:1 / / rw - ext4 /dev/sda rw\n\
            36 21 0:40 / /a\\040b rw - fuse.emberfs x rw\n\
            37 36 0:41 / /a\\040b rw - fuse.emberfs x rw\n\
            38 21 0:42 / /a rw - tmpfs x rw\n";
        let found = |path| topmost(mounts, Path::new(path));
        let [device, path, kind] = ["0:41", "/a\\040b", TYPE].map(str::to_owned);
        assert_eq!(found("/a b"), Some(Listed { id: 37, device, path, kind }));
        assert_eq!(found("/a").map(|mount| mount.kind), Some("tmpfs".to_owned()));
        assert_eq!(found("/b"), None);
    }
}
