//! Both sides of the comparison, ready to carry out slices, and what came of a load.
//!
//! | who | does what |
//! | --- | --- |
//! | `emberfs bench --slices` | value, by the client library |
//! | `bare-pipeline drive` | its limit |
//! | `bare-pipeline files`, in a mount of the cluster | value, through the mount |
//! | `bare-pipeline files`, in `bare-pipeline memory-mount` | what passing through the kernel costs |
//!
//! All stay between slices, so that a slice costs nothing but its time. Mounts are made when they are needed first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cluster::Cluster;
use super::driven::Driven;
use super::medium::Scratch;
use super::pairs::{self, Effort, Pair};
use super::rows::{By, Load};
use super::slice::Slice;
use super::statistics::{WEAK, median};
use super::usage::Usage;

/// How long the ways to do the same are compared, after what is needed was written.
const TRIAL_SECONDS: f64 = 0.5;
/// How long each part of a limit is measured alone.
const PART_SECONDS: f64 = 0.5;

/// What came of a load.
pub(super) struct Run {
    pub(super) load: &'static Load,
    pub(super) pairs: Vec<Pair>,
    /// What the limit's parts do alone, in calls a second.
    pub(super) parts: Value,
    /// Whether the limit is too low by what its parts alone can do.
    pub(super) is_weak: bool,
    /// In which ways it was done, the fastest first, which counts.
    pub(super) ways: Vec<(&'static str, f64)>,
}

/// Both sides.
pub(super) struct Sides {
    place: PathBuf,
    cluster: String,
    value: Side,
    limit: Side,
    mounts: Option<Mounts>,
}

/// A program, with the processes of its servers.
struct Side {
    program: Driven,
    servers: Vec<u32>,
}

/// What goes through the kernel.
struct Mounts {
    value: Side,
    bare: Side,
    memory: Driven,
    at: PathBuf,
}

impl Sides {
    /// Starts what every load needs.
    pub(super) fn start(scratch: &Scratch, place: &Path, cluster: &Cluster) -> Result<Self> {
        let mut limit = scratch.command("bare-pipeline");
        limit.arg("drive").arg("--directory").arg(place.join("limit"));
        let (program, ready) = Driven::start(limit)?;
        let servers = ready["servers"].as_array().context("bare-pipeline names its servers")?;
        let numbers = servers.iter().filter_map(|pid| u32::try_from(pid.as_u64()?).ok());
        let limit = Side { program, servers: numbers.collect() };
        let mut value = scratch.command("emberfs");
        value.args(["--cluster", cluster.name(), "bench", "--slices"]);
        let (program, _) = Driven::start(value)?;
        let value = Side { program, servers: cluster.processes() };
        let (place, cluster) = (place.to_owned(), cluster.name().to_owned());
        Ok(Self { place, cluster, value, limit, mounts: None })
    }

    /// Runs one load on both.
    pub(super) fn run(
        &mut self,
        scratch: &Scratch,
        load: &'static Load,
        effort: Effort,
    ) -> Result<Run> {
        match load.by {
            By::Client(ways) => self.by_client(load, ways, effort),
            By::Mount(native) => self.through_mount(scratch, load, native, effort),
        }
    }

    fn by_client(
        &mut self,
        load: &'static Load,
        ways: &[&'static str],
        effort: Effort,
    ) -> Result<Run> {
        let Self { value, limit, .. } = self;
        let mut tried = Vec::new();
        for way in ways {
            tried.push((*way, value.slice(way, TRIAL_SECONDS)?.rate()));
        }
        tried.sort_by(|a, b| b.1.total_cmp(&a.1));
        let best = tried.first().context("each load is done in some way")?.0;
        let parts = limit.program.ask(&format!("parts {} {PART_SECONDS}", load.limit))?;
        let pairs = pairs::take(
            effort,
            |seconds| limit.slice(load.limit, seconds),
            |seconds| value.slice(best, seconds),
        )?;
        let rates: Vec<f64> = pairs.iter().flat_map(|pair| &pair.limits).map(Slice::rate).collect();
        let is_weak = median(&rates) < WEAK * parts["sum"].as_f64().unwrap_or(0.0);
        Ok(Run { load, pairs, parts, is_weak, ways: tried })
    }

    fn through_mount(
        &mut self,
        scratch: &Scratch,
        load: &'static Load,
        native: &'static str,
        effort: Effort,
    ) -> Result<Run> {
        let mut mounts = match self.mounts.take() {
            Some(mounts) => mounts,
            None => Mounts::make(scratch, &self.place, &self.cluster, &self.value.servers)?,
        };
        let by_client = &mut self.value;
        by_client.slice(native, TRIAL_SECONDS)?;
        let Mounts { value, bare, .. } = &mut mounts;
        let pairs = pairs::take(
            effort,
            |seconds| {
                let native = by_client.slice(native, seconds)?;
                Ok(native.in_a_row(&bare.slice(load.limit, seconds)?))
            },
            |seconds| value.slice(load.limit, seconds),
        )?;
        self.mounts = Some(mounts);
        Ok(Run { load, pairs, parts: Value::Null, is_weak: false, ways: Vec::new() })
    }

    /// Has all end, and remove what they made in the cluster.
    pub(super) fn end(self, scratch: &Scratch) -> Result<()> {
        if let Some(mounts) = self.mounts {
            mounts.end(scratch, &self.cluster)?;
        }
        self.limit.program.end()?;
        self.value.program.end()
    }
}

impl Mounts {
    fn make(scratch: &Scratch, place: &Path, cluster: &str, servers: &[u32]) -> Result<Self> {
        let (at, empty) = (place.join("mount"), place.join("memory"));
        std::fs::create_dir_all(&empty)?;
        let mut memory = scratch.command("bare-pipeline");
        memory.arg("memory-mount").arg("--at").arg(&empty);
        let (memory, _) = Driven::start(memory)?;
        let mut mount = scratch.command("emberfs");
        let mounted = mount.args(["--cluster", cluster, "mount"]).arg(&at).status()?.success();
        ensure!(mounted, "`emberfs mount {}` failed", at.display());
        let files = |directory: &Path, servers: &[u32]| {
            let mut files = scratch.command("bare-pipeline");
            files.arg("files").arg("--directory").arg(directory);
            let (program, _) = Driven::start(files)?;
            Ok::<_, anyhow::Error>(Side { program, servers: servers.to_owned() })
        };
        Ok(Self { value: files(&at, servers)?, bare: files(&empty, &[])?, memory, at })
    }

    fn end(self, scratch: &Scratch, cluster: &str) -> Result<()> {
        self.value.program.end()?;
        self.bare.program.end()?;
        self.memory.end()?;
        let mut umount = scratch.command("emberfs");
        let gone = umount.args(["--cluster", cluster, "umount"]).arg(&self.at).status()?.success();
        ensure!(gone, "`emberfs umount {}` failed", self.at.display());
        Ok(())
    }
}

impl Side {
    /// One slice, with what it cost the servers.
    fn slice(&mut self, what: &str, seconds: f64) -> Result<Slice> {
        let before = Usage::of(&self.servers)?;
        let said = self.program.ask(&format!("{what} {seconds}"))?;
        Slice::read(&said, Usage::of(&self.servers)?.since(before))
    }
}
