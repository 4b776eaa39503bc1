//! A cluster that is measured: three storage servers with a disk each, three replicas.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::medium::{Medium, Scratch};

/// What is asked of `emberfs up`.
const SHAPE: &[&str] = &["--storage", "3", "--disks", "1", "--replicas", "3"];

/// A running cluster.
pub(super) struct Cluster {
    name: &'static str,
    directory: PathBuf,
}

impl Cluster {
    /// Starts it.
    pub(super) fn start(scratch: &Scratch, directory: &Path, medium: Medium) -> Result<Self> {
        let cluster = Self { name: medium.word(), directory: directory.to_owned() };
        cluster.order(scratch, "up", &[&["--name", cluster.name], SHAPE].concat())?;
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
        let mark = self.directory.join("").to_string_lossy().into_owned();
        let listed = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let numbers = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_ours = |process: &u32| {
            let of = |file| std::fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
            let is_server = [&b"emberfs-storage\n"[..], b"emberfs-meta\n"].contains(&&*of("comm"));
            is_server && String::from_utf8_lossy(&of("cmdline")).contains(&mark)
        };
        numbers.filter(is_ours).collect()
    }
}
