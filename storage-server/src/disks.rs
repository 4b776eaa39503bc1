//! The disks of a server: formatted once, found at each start, before anything reads their chunks.
//!
//! A disk is a directory with an identity file and a lock ([`emberfs_daemon::identity`]). It belongs to no
//! node until it is admitted; from then on it is bound to the node that it was admitted on.

use std::path::{Path, PathBuf};

use emberfs_daemon::{DirectoryKind, Held, Identity, IdentityError, formatting};
use emberfs_layout::{ClusterId, DiskId, NodeId};

use crate::config::Config;
use crate::error::StartError;

/// A formatted disk whose lock this process holds.
#[derive(Debug)]
pub(crate) struct FoundDisk {
    pub(crate) id: DiskId,
    pub(crate) held: Held,
}

/// Makes an empty or missing directory a disk of `cluster`.
///
/// # Errors
/// [`IdentityError`] if it is not empty, is formatted already, or is in use.
pub fn format_disk(directory: &Path, cluster: ClusterId) -> Result<DiskId, IdentityError> {
    disk_of(Held::format(directory, new_disk(cluster))?.identity(), directory)
}

/// The disk in `directory`: the one that is there, if it is of this cluster, else a new one.
///
/// # Errors
/// [`IdentityError`], as of [`format_disk`].
pub fn ensure_disk(directory: &Path, cluster: ClusterId) -> Result<DiskId, IdentityError> {
    let ours = |found: &Identity| {
        (found.kind, found.cluster) == (DirectoryKind::Disk, cluster) && found.disk.is_some()
    };
    disk_of(formatting::ensure(directory, ours, new_disk(cluster))?, directory)
}

fn new_disk(cluster: ClusterId) -> Identity {
    let disk = Some(DiskId(rand::random()));
    Identity { kind: DirectoryKind::Disk, cluster, node: None, disk }
}

fn disk_of(identity: Identity, directory: &Path) -> Result<DiskId, IdentityError> {
    identity.disk.ok_or_else(|| IdentityError::Damaged {
        file: PathBuf::from(directory),
        text: "a disk's identity without a disk's id".to_owned(),
    })
}

/// The server's own directory; made at the first start.
pub(crate) fn own_directory(config: &Config) -> Result<Held, IdentityError> {
    let (kind, cluster) = (DirectoryKind::Storage, config.cluster);
    match Held::open(&config.directory, kind, cluster) {
        Err(IdentityError::NotFormatted { .. }) => {
            let identity = Identity { kind, cluster, node: None, disk: None };
            Held::format(&config.directory, identity)
        }
        other => other,
    }
}

/// The disks that can be used by a server that is `node`. One that cannot be read is left out, said in the
/// log; one that must not be used, as it is another's, ends the start.
pub(crate) fn find(config: &Config, node: Option<NodeId>) -> Result<Vec<FoundDisk>, StartError> {
    let mut found = Vec::new();
    for directory in &config.disks {
        match open(directory, config.cluster, node) {
            Ok(disk) => found.push(disk),
            Err(error) if is_unreadable(&error) => {
                tracing::error!(disk = %directory.display(), %error, "disk left out");
            }
            Err(error) => return Err(error.into()),
        }
    }
    if found.is_empty() {
        return Err(StartError::NoDisk { tried: config.disks.len() });
    }
    Ok(found)
}

fn open(
    directory: &Path,
    cluster: ClusterId,
    node: Option<NodeId>,
) -> Result<FoundDisk, IdentityError> {
    let held = Held::open(directory, DirectoryKind::Disk, cluster)?;
    let id = disk_of(held.identity(), directory)?;
    match held.identity().node {
        Some(bound) if node != Some(bound) => Err(IdentityError::Foreign {
            directory: directory.to_owned(),
            found: bound.to_string(),
            expected: node.map_or_else(|| "a disk of no node".to_owned(), |node| node.to_string()),
        }),
        _ => Ok(FoundDisk { id, held }),
    }
}

/// Whether the disk itself is at fault, rather than what it says. One that is not mounted looks like one
/// that was never formatted.
fn is_unreadable(error: &IdentityError) -> bool {
    matches!(
        error,
        IdentityError::Io { .. }
            | IdentityError::Damaged { .. }
            | IdentityError::NotFormatted { .. }
    )
}
