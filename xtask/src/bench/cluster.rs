//! A cluster that is measured: three storage servers with a disk each, three replicas.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::medium::Scratch;
use super::usage;

/// What is asked of `emberfs up` for what is measured beside limits.
pub(super) const THREE: &[&str] = &["--storage", "3", "--disks", "1", "--replicas", "3"];
/// For what one storage server does alone.
pub(super) const ONE: &[&str] = &["--storage", "1", "--disks", "1", "--replicas", "1"];

/// A running cluster.
pub(super) struct Cluster {
    name: &'static str,
    directory: PathBuf,
}

impl Cluster {
    /// Starts it.
    pub(super) fn start(
        scratch: &Scratch,
        directory: &Path,
        name: &'static str,
        shape: &[&str],
    ) -> Result<Self> {
        let cluster = Self { name, directory: directory.to_owned() };
        cluster.order(scratch, "up", &[&["--name", cluster.name], shape].concat())?;
        Ok(cluster)
    }

    /// Stops it.
    pub(super) fn stop(self, scratch: &Scratch) -> Result<()> {
        self.order(scratch, "down", &[])
    }

    fn order(&self, scratch: &Scratch, verb: &str, more: &[&str]) -> Result<()> {
        let mut command = scratch.command("emberfs");
        command.arg(verb).arg("--dir").arg(&self.directory).args(more);
        let output = command.output().context("cannot start emberfs")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`emberfs {verb}` ended with {}: {}", output.status, said.trim());
        }
        Ok(())
    }

    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The processes of its servers: those whose command line names a file in its directory.
    pub(super) fn processes(&self) -> Vec<u32> {
        usage::processes(&["emberfs-storage", "emberfs-meta"], &self.directory.join(""))
    }

    /// Those of its storage servers.
    pub(super) fn storage(&self) -> Vec<u32> {
        usage::processes(&["emberfs-storage"], &self.directory.join(""))
    }

    /// Brings up what does not run, and waits until all is well.
    pub(super) fn again(&self, scratch: &Scratch) -> Result<()> {
        self.order(scratch, "up", &[])
    }

    /// Where the disk of its first storage server is.
    pub(super) fn disk(&self) -> PathBuf {
        self.directory.join("storage-1/disk-1")
    }
}
