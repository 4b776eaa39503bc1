//! The directories of a local cluster's disks: made while the cluster is, and never again.
//!
//! All of them are formatted before the first disk is admitted, and what the cluster has admitted it knows for ever.
//! So once it has admitted any, a directory without a disk in it is no new disk, but one that is lost: a new one in
//! its place would hide that from everybody but the cluster, which goes on waiting for the other.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use emberfs_client::GetStatusReply;
use emberfs_client_fuse_mounts::counted;
use emberfs_layout::{ClusterId, DiskId};

use super::configs;
use super::plan::Plan;
use super::process::{self, Server};

/// The file that every directory of a server has: docs/formats/on-disk.md.
const IDENTITY: &str = "emberfs-identity.toml";

/// A formatted disk.
#[derive(Debug)]
pub(crate) struct LocalDisk {
    pub(crate) id: DiskId,
    pub(crate) directory: PathBuf,
    pub(crate) server: Server,
}

/// Whether a server's directory was formatted.
pub(crate) fn is_formatted(directory: &Path) -> Result<bool> {
    let there = directory.join(IDENTITY).try_exists();
    there.with_context(|| directory.display().to_string())
}

/// The disks of all servers. Those that are missing are made if the cluster `is_new`, as none of its disks is
/// admitted yet.
pub(crate) fn prepare(plan: &Plan, cluster: ClusterId, is_new: bool) -> Result<Vec<LocalDisk>> {
    let mut all = Vec::new();
    for server in plan.storage_servers() {
        let directories = configs::read_storage(&server)?.disks;
        all.extend(directories.into_iter().map(|directory| (server.clone(), directory)));
    }
    if !is_new {
        refuse_lost(plan, &all)?;
    }
    let format = |(server, directory): (Server, PathBuf)| {
        let id = process::format_disk(&directory, cluster)?;
        Ok(LocalDisk { id, directory, server })
    };
    all.into_iter().map(format).collect()
}

/// The disks that their servers do not use, as they could not open them.
pub(crate) fn left_out<'a>(
    disks: &'a [LocalDisk],
    status: &'a GetStatusReply,
) -> impl Iterator<Item = &'a LocalDisk> {
    let reported = |id| status.nodes.iter().flat_map(|node| &node.disks).any(|one| one.disk == id);
    disks.iter().filter(move |disk| !reported(disk.id))
}

impl LocalDisk {
    /// That its server does not use it, and who knows why.
    pub(crate) fn left_out(&self) -> String {
        let (server, directory, log) = (&self.server.name, &self.directory, self.server.log());
        format!(
            "{server} does not use {} (disk {}): its log {} says why",
            directory.display(),
            self.id,
            log.display()
        )
    }
}

fn refuse_lost(plan: &Plan, all: &[(Server, PathBuf)]) -> Result<()> {
    let mut lost = Vec::new();
    for (server, directory) in all {
        if !is_formatted(directory)? {
            lost.push((&server.name, directory.display()));
        }
    }
    let Some((_, first)) = lost.first() else { return Ok(()) };
    let copies = match plan.shape.replicas {
        1 => "there was no other copy of what was there",
        _ => "the other copies of what was there are on other servers",
    };
    let places: Vec<String> = lost.iter().map(|(name, at)| format!("{at} (of {name})")).collect();
    bail!(
        "{} gone, and not made anew: {}; {copies}. If a file system belongs there, mount it; else \
         `emberfs disk format {first}` puts a new, empty disk there. Then `{}` again",
        if lost.len() == 1 {
            "a disk is".to_owned()
        } else {
            format!("{} are", counted(lost.len(), "disk"))
        },
        places.join(", "),
        plan.command("emberfs up"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::plan::Shape;

    #[test]
    fn a_directory_without_a_disk_is_named_with_the_next_step() {
        let top = tempfile::tempdir().expect("a temporary directory");
        let shape = Shape { meta: 1, storage: 1, disks: 3, replicas: 1 };
        let mut plan = Plan::make(&top.path().join("c"), "local", shape).expect("free ports");
        let server = plan.storage_servers().remove(0);
        let directory = |n: u8| server.folder().join(format!("disk-{n}"));
        let all: Vec<_> = (1..=3).map(|n| (server.clone(), directory(n))).collect();
        for n in 1..=2 {
            std::fs::create_dir_all(directory(n)).expect("made");
        }
        std::fs::write(directory(1).join(IDENTITY), "").expect("written");
        let said = refuse_lost(&plan, &all[..2]).expect_err("empty").to_string();
        let at = directory(2).display().to_string();
        for words in
            ["a disk is gone", &at, "(of storage-1)", "no other copy", "disk format", "up --dir"]
        {
            assert!(said.contains(words), "{words}: {said}");
        }
        plan.shape.replicas = 2;
        let said = refuse_lost(&plan, &all).expect_err("empty, and missing").to_string();
        for words in ["2 disks are gone", &at, "disk-3", "on other servers"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(refuse_lost(&plan, &all[..1]).is_ok());
        std::fs::write(directory(3), "").expect("a file, where a directory should be");
        assert!(refuse_lost(&plan, &all).is_err());
    }
}
