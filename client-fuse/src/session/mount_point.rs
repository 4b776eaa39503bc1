//! Mounting and unmounting.
//!
//! Root mounts by itself; others through `fusermount3`, which hands over the device by a socket. Only what was mounted
//! here is unmounted, wherever it was moved to: another's later mount at the same path stays, also one that came in the
//! same moment. So what the kernel does not list, and could not be found again, is not mounted.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use emberfs_client_fuse_mounts::{Mount, MountTable, TYPE, Taken, connects};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use thiserror::Error;

use super::vacancy::{Vacancy, mounted};
use crate::options::MountOptions;

/// What mounts and unmounts for those who are not root.
const HELPER: &str = "fusermount3";

/// Where something of ours is mounted.
#[derive(Debug)]
pub struct MountPoint {
    /// As the kernel lists it, so that no other is unmounted.
    listed: Mount,
}

/// What is found at a path at which something of ours was mounted a moment ago.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// That, as the kernel lists it.
    Ours(Mount),
    /// Nothing is known of it: there is no table, or it is that of another namespace.
    Unlisted,
    /// Somebody has mounted something else over it in that moment.
    Another,
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
    /// Something is there that is no directory.
    #[error("{} is no directory: only at one something can be mounted", path.display())]
    NotADirectory {
        /// Where.
        path: PathBuf,
    },
    /// None of ours is there, to be mounted in another way.
    #[error("no EmberFS is mounted at {}: mount it without `-o remount`", path.display())]
    NotMounted {
        /// Where.
        path: PathBuf,
    },
    /// One of ours is there, or above.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// The kernel's module is not loaded, or not for us.
    #[error("/dev/fuse: {source} (`modprobe fuse`?)")]
    Device {
        /// Why.
        source: io::Error,
    },
    /// Where it is mounted could not be told later.
    #[error("{}: mounted, but not in /proc/self/mountinfo, so it was unmounted again: is /proc there, and that of this \
        namespace (`mount -t proc proc /proc`)?", path.display())]
    Unlisted {
        /// Where.
        path: PathBuf,
    },
    /// Another file system is mounted over it.
    #[error("{0}: something else is mounted over it: unmount that, then `umount {0}` again", path.display())]
    Covered {
        /// Where.
        path: PathBuf,
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

impl Found {
    /// At a path without links, by what the kernel lists.
    fn at(path: &Path, table: io::Result<MountTable>, is_it: impl FnOnce(&Mount) -> bool) -> Self {
        match table.ok().as_ref().and_then(|table| table.topmost(path)) {
            Some(mount) if is_it(mount) => Self::Ours(mount.clone()),
            Some(_) => Self::Another,
            None => Self::Unlisted,
        }
    }
}

impl MountPoint {
    /// Mounts; the descriptor by which the kernel asks.
    pub(super) fn mount(options: &MountOptions) -> Result<(Self, OwnedFd), MountError> {
        let Vacancy { path, mode } = Vacancy::at(&options.path)?;
        let device =
            if is_root() { by_itself(&path, mode, options)? } else { by_helper(&path, options)? };
        let is_it = |mount: &Mount| mount.is_ours() && connects(&device, &mount.device);
        match Found::at(&path, MountTable::read(), is_it) {
            Found::Ours(listed) => Ok((Self { listed }, device)),
            Found::Unlisted => {
                // A moment ago: what is there is this one.
                detach(&path)?;
                Err(MountError::Unlisted { path })
            }
            Found::Another => Err(MountError::Covered { path }),
        }
    }

    /// The file system's device and the path, as the kernel listed them, as text.
    #[must_use]
    pub fn listed(&self) -> (&str, &str) {
        (&self.listed.device, &self.listed.path)
    }

    /// Where it is now, if it is still there.
    ///
    /// # Errors
    /// [`MountError`]: nobody knows.
    pub fn place(&self) -> Result<Option<PathBuf>, MountError> {
        let table = MountTable::read().map_err(|source| MountError::Refused {
            what: "find what is mounted",
            path: self.listed.place(),
            source,
        })?;
        place_in(&table, &self.listed)
    }

    /// Unmounts, if it is still there.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn unmount(&self) -> Result<(), MountError> {
        self.place()?.map_or(Ok(()), |place| detach(&place))
    }
}

/// Where a mount is by this table, if it is.
fn place_in(table: &MountTable, mount: &Mount) -> Result<Option<PathBuf>, MountError> {
    let is_it = |other: &&Mount| (other.id, &other.device) == (mount.id, &mount.device);
    let Some(place) = table.mounts().iter().find(is_it).map(Mount::place) else { return Ok(None) };
    match table.topmost(&place).filter(is_it) {
        Some(_) => Ok(Some(place)),
        None => Err(MountError::Covered { path: place }),
    }
}

/// Takes what is mounted at a path out of the way to it: at once for those who look it up, and for those who have files
/// open when they close them.
fn detach(path: &Path) -> Result<(), MountError> {
    if !is_root() {
        return helped(Command::new(HELPER).args(["-u", "-z", "--"]).arg(path));
    }
    let refused = |error: rustix::io::Errno| MountError::Refused {
        what: "unmount",
        path: path.to_owned(),
        source: error.into(),
    };
    rustix::mount::unmount(path, UnmountFlags::DETACH).map_err(refused)
}

/// Changes the flags of a mount that is there.
///
/// # Errors
/// [`MountError`].
pub fn remount(options: &MountOptions) -> Result<(), MountError> {
    let path = mounted(&options.path)?;
    rustix::mount::mount_remount(&path, options.flags, "").map_err(|error| MountError::Refused {
        what: "remount",
        path: path.clone(),
        source: error.into(),
    })
}

/// Whether something could be mounted at a path, as it is now.
///
/// # Errors
/// [`MountError`] says why not.
pub fn check_vacant(path: &Path) -> Result<(), MountError> {
    Vacancy::at(path).map(|_| ())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn by_itself(path: &Path, mode: u32, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let refused = |source| MountError::Refused { what: "mount", path: path.to_owned(), source };
    let device = File::options().read(true).write(true).open("/dev/fuse");
    let device = OwnedFd::from(device.map_err(|source| MountError::Device { source })?);
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    let data = format!(
        "fd={},rootmode={mode:o},user_id={},group_id={}{}",
        device.as_raw_fd(),
        uid.as_raw(),
        gid.as_raw(),
        words_of_fuse(options)
    );
    let data = CString::new(data).expect("no zero byte in numbers");
    rustix::mount::mount(options.source.as_str(), path, TYPE, options.flags, data.as_c_str())
        .map_err(|error| refused(error.into()))?;
    Ok(device)
}

/// What is FUSE's own of the options, each behind a comma.
fn words_of_fuse(options: &MountOptions) -> String {
    let words = [
        (options.allow_other, ",allow_other"),
        (options.default_permissions, ",default_permissions"),
    ];
    words.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word).collect()
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
    words.push_str(&words_of_fuse(options));
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
            Err(MountError::Helper { text: in_words(&String::from_utf8_lossy(&output.stderr)) })
        }
    }
}

/// What the helper said, without its name before it; with what to do where it may not open the device.
fn in_words(said: &str) -> String {
    let said = said.trim();
    let said = said.strip_prefix(HELPER).and_then(|said| said.strip_prefix(": ")).unwrap_or(said);
    match said.contains("/dev/fuse") {
        true => format!(
            "{said}: load the kernel's module (`modprobe fuse`), and let users open it (`ls -l /dev/fuse`: \
             crw-rw-rw-); a container must be given it (--device /dev/fuse)"
        ),
        false => said.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mounted_is_found_wherever_it_is_and_no_other() {
        let line =
            |id, device, path| format!("{id} 21 {device} / {path} rw - {TYPE} a:1 rw,user_id=0\n");
        let place = |lines: &[String]| {
            let mount = MountTable::new(line(40, "0:57", "/m\\040t").as_bytes());
            place_in(&MountTable::new(lines.concat().as_bytes()), &mount.mounts()[0])
        };
        let (at, other) = (line(40, "0:57", "/m\\040t"), line(39, "0:9", "/m\\040t"));
        let found = place(&[other.clone(), at.clone()]).expect("known");
        assert_eq!(found, Some("/m t".into()), "over another");
        let found = place(&[line(40, "0:57", "/moved")]).expect("known");
        assert_eq!(found, Some("/moved".into()));
        for gone in [vec![], vec![other.clone()], vec![line(40, "0:9", "/m\\040t")]] {
            assert_eq!(place(&gone).expect("known"), None, "it is another's");
        }
        let covered = place(&[at, line(41, "0:60", "/m\\040t")]).expect_err("it is below");
        assert!(covered.to_string().starts_with("/m t: something else is mounted over it"));
    }

    #[test]
    fn what_somebody_has_mounted_over_it_in_the_same_moment_is_left_alone() {
        let path = Path::new("/m");
        let line = |device: &str, kind| format!("40 21 {device} / /m rw - {kind} a:1 rw\n");
        let ours = line("0:57", TYPE);
        let found = |table| Found::at(path, table, |mount| mount.device == "0:57");
        let in_table = |text: &str| found(Ok(MountTable::new(text.as_bytes())));
        let listed = MountTable::new(ours.as_bytes()).mounts()[0].clone();
        assert_eq!(in_table(&ours), Found::Ours(listed));
        for over in [line("0:60", "tmpfs"), line("0:60", TYPE)] {
            assert_eq!(in_table(&format!("{ours}{over}")), Found::Another);
        }
        assert_eq!(in_table("21 1 8:1 / / rw - ext4 /dev/sda rw\n"), Found::Unlisted);
        assert_eq!(found(Err(io::ErrorKind::NotFound.into())), Found::Unlisted);
    }

    #[test]
    fn the_helper_is_named_once_and_a_device_that_is_closed_has_a_next_step() {
        let refused = |said| MountError::Helper { text: in_words(said) }.to_string();
        let said = refused("fusermount3: failed to open /dev/fuse: Permission denied\n");
        assert!(said.starts_with("fusermount3: failed to open /dev/fuse: Perm"), "{said}");
        assert!(said.contains("modprobe fuse"), "{said}");
        assert_eq!(refused("no such thing"), "fusermount3: no such thing");
    }
}
