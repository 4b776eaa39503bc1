//! Where something can be mounted: at a directory at which no mount of ours is, and which lies in none.
//!
//! A mount of ours may hang, so none is asked: the way to it ends there. Whether it has its daemon is told by the
//! list of sockets (`presence`), which is that of one network namespace, and by who has its connection open.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use emberfs_client_fuse_mounts::{MountTable, SOCKETS, Taken, Way, unheard};
use rustix::process::Pid;

use super::mount_point::{MountError, topmost};

/// Such a directory.
pub(super) struct Vacancy {
    /// Its path, without links.
    pub(super) path: PathBuf,
    /// Its kind and permission bits, as in `stat`.
    pub(super) mode: u32,
}

impl Vacancy {
    /// The one at this path.
    ///
    /// # Errors
    /// [`MountError`] says why it is none.
    pub(super) fn at(path: &Path) -> Result<Self, MountError> {
        match way(path)? {
            Way::Free(free) => {
                let found = std::fs::metadata(&free).map_err(|error| unreadable(&free, error))?;
                match found.is_dir() {
                    true => Ok(Self { path: free, mode: found.mode() }),
                    false => Err(MountError::NotADirectory { path: free }),
                }
            }
            Way::Mount(mount) => Err(served(mount).into()),
            Way::Below { mount, .. } => Err(Taken::Below { path: path.to_owned(), mount }.into()),
        }
    }
}

/// The mount of ours that is at a path, without links.
///
/// # Errors
/// [`MountError::NotMounted`] if none is, or what is wrong with the path.
pub(super) fn mounted(path: &Path) -> Result<PathBuf, MountError> {
    match way(path)? {
        Way::Mount(mount) => Ok(mount),
        Way::Free(free) => {
            std::fs::metadata(&free).map_err(|error| unreadable(&free, error))?;
            Err(MountError::NotMounted { path: free })
        }
        Way::Below { .. } => Err(MountError::NotMounted { path: path.to_owned() }),
    }
}

fn unreadable(path: &Path, source: io::Error) -> MountError {
    MountError::Path { path: path.to_owned(), source }
}

fn way(path: &Path) -> Result<Way, MountError> {
    let table = MountTable::read().map_err(|error| unreadable(path, error))?;
    table.way(path).map_err(|error| unreadable(path, error))
}

/// By whom the mount of ours at this path is served.
fn served(path: PathBuf) -> Taken {
    let Some(device) = topmost(&path).map(|mount| mount.device) else {
        return Taken::Served { path };
    };
    let table = std::fs::read("/proc/net/unix").unwrap_or_default();
    let heard = heard(&String::from_utf8_lossy(&table));
    if heard.iter().any(|(of, _)| *of == device) {
        return Taken::Served { path };
    }
    let processes: Vec<_> = heard.into_iter().map(|(_, process)| process).collect();
    match unheard(&device, &processes) {
        Some(unheard) => Taken::Unheard { path, process: unheard.number },
        None => Taken::Dead { path },
    }
}

/// The devices of which daemons listen, and these.
fn heard(table: &str) -> Vec<(String, Pid)> {
    let names = table.lines().filter_map(|line| line.split_ascii_whitespace().nth(7));
    let ours = names.filter_map(|name| name.strip_prefix('@')?.strip_prefix(SOCKETS));
    let heard = ours.filter_map(|name| {
        let mut parts = name.split('/');
        let (device, process) = (parts.next()?, parts.next()?.parse().ok()?);
        Some((device.to_owned(), Pid::from_raw(process)?))
    });
    heard.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_told_by_the_names_of_sockets() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000: 00000002 00000000 00010000 0001 01 11 @emberfs-mount/0:57/7\n\
            0000: 00000002 00000000 00010000 0001 01 12 @emberfs-mount/0:58/8/8f3e0c6b52a97d14\n\
            0000: 00000003 00000000 00000000 0001 03 13\n\
            0000: 00000002 00000000 00010000 0001 01 14 /run/emberfs-mount/0:57/7\n\
            0000: 00000002 00000000 00010000 0001 01 15 @emberfs-mount/0:59\n";
        let process = |number| Pid::from_raw(number).expect("not 0");
        let listed = [("0:57".to_owned(), process(7)), ("0:58".to_owned(), process(8))];
        assert_eq!(heard(table), listed);
    }
}
