//! Both sides of the comparison, ready to carry out slices, and what came of a load.
//!
//! | who | does what |
//! | --- | --- |
//! | `emberfs bench --slices` | value, by the client library |
//! | `bare-pipeline drive` | its limit |
//! | the same with `--mount`, in a mount of the cluster | value, through the mount |
//! | the same in `bare-pipeline memory-mount` | what passing through the kernel costs |
//! | the same in a directory beside | what the page cache gives |
//!
//! All stay between slices, so that a slice costs nothing but its time. Mounts are made when they are needed first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cluster::Cluster;
use super::driven::Driven;
use super::medium::Scratch;
use super::pairs::{self, Allowance, Effort, Pair};
use super::rows::{By, Limit, Load, Pace};
use super::slice::Slice;
use super::statistics::{WEAK, median};
use super::usage::Usage;

/// How long the ways to do the same are compared, after what is needed was written.
const TRIAL_SECONDS: f64 = 0.5;
/// How long each part of a limit is measured alone.
const PART_SECONDS: f64 = 0.5;
/// What a server has to do before it is called busy, for so long each.
const BUSY: &[&str] = &[
    "native_seq_write_1m_s4",
    "native_rand_read_128k_d64",
    "small_files_write_110k",
    "create_c32",
];
const BUSY_SECONDS: f64 = 1.0;

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
    allowance: Allowance,
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
    /// A directory of this machine.
    local: Side,
    memory: Driven,
    at: PathBuf,
}

impl Sides {
    /// Starts what every load needs.
    pub(super) fn start(
        scratch: &Scratch,
        place: &Path,
        cluster: &Cluster,
        allowance: Allowance,
    ) -> Result<Self> {
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
        Ok(Self { place, cluster, value, limit, mounts: None, allowance })
    }

    /// Runs one load on both.
    pub(super) fn run(
        &mut self,
        scratch: &Scratch,
        load: &'static Load,
        effort: Effort,
    ) -> Result<Run> {
        match load.by {
            By::Client(ways, limit) => self.by_client(load, ways, limit, effort),
            By::Mount(native) => self.through_mount(scratch, load, Some(native), effort),
            By::Cache => self.through_mount(scratch, load, None, effort),
        }
    }

    /// Has the servers do much, so that it is seen how much memory they take.
    pub(super) fn be_busy(&mut self) -> Result<()> {
        for row in BUSY {
            self.value.slice(row, BUSY_SECONDS)?;
        }
        Ok(())
    }

    /// For how long noisy pairs may still be taken again.
    pub(super) fn allowance(&self) -> f64 {
        self.allowance.0
    }

    fn by_client(
        &mut self,
        load: &'static Load,
        ways: &[&'static str],
        of: Limit,
        effort: Effort,
    ) -> Result<Run> {
        let Self { value, limit, allowance, .. } = self;
        let mut tried = Vec::new();
        for way in ways {
            // What is whole in any time needs no trial.
            let rate = match load.pace {
                Pace::Whole | Pace::Long => 0.0,
                Pace::Floor | Pace::Usual => value.slice(way, TRIAL_SECONDS)?.rate(),
            };
            tried.push((*way, rate));
        }
        tried.sort_by(|a, b| b.1.total_cmp(&a.1));
        let best = tried.first().context("each load is done in some way")?.0;
        let parts = limit.parts(of)?;
        let pairs = pairs::take(
            effort,
            allowance,
            |seconds| limit.limit(of, seconds),
            |seconds| value.slice(best, seconds),
        )?;
        let rates: Vec<f64> = pairs.iter().flat_map(|pair| &pair.limits).map(Slice::rate).collect();
        let is_weak = median(&rates) < WEAK * parts["sum"].as_f64().unwrap_or(0.0);
        Ok(Run { load, pairs, parts, is_weak, ways: tried })
    }

    /// Through a mount; without a native load the limit is the page cache.
    fn through_mount(
        &mut self,
        scratch: &Scratch,
        load: &'static Load,
        native: Option<&'static str>,
        effort: Effort,
    ) -> Result<Run> {
        let mut mounts = match self.mounts.take() {
            Some(mounts) => mounts,
            None => Mounts::make(scratch, &self.place, &self.cluster, &self.value.servers)?,
        };
        let (by_client, allowance) = (&mut self.value, &mut self.allowance);
        let Mounts { value, bare, local, .. } = &mut mounts;
        let pairs = pairs::take(
            effort,
            allowance,
            |seconds| match native {
                Some(native) => {
                    let native = by_client.slice(native, seconds)?;
                    Ok(native.in_a_row(&bare.slice(load.name, seconds)?))
                }
                None => local.slice(load.name, seconds),
            },
            |seconds| value.slice(load.name, seconds),
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
        let local = place.join("local");
        std::fs::create_dir_all(&local)?;
        let files = |directory: &Path, servers: &[u32]| {
            let mut files = scratch.command("emberfs");
            files.args(["bench", "--slices", "--mount"]).arg(directory);
            let (program, _) = Driven::start(files)?;
            anyhow::Ok(Side { program, servers: servers.to_owned() })
        };
        let (value, bare) = (files(&at, servers)?, files(&empty, &[])?);
        Ok(Self { value, bare, local: files(&local, &[])?, memory, at })
    }

    fn end(self, scratch: &Scratch, cluster: &str) -> Result<()> {
        self.value.program.end()?;
        self.bare.program.end()?;
        self.local.program.end()?;
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

    /// One slice of a limit: of several lines each has a part of the time.
    fn limit(&mut self, of: Limit, seconds: f64) -> Result<Slice> {
        let each = seconds / of.lines.len() as f64;
        let mut whole: Option<Slice> = None;
        for line in of.lines {
            let slice = self.slice(line, each)?;
            whole = Some(match whole {
                Some(whole) => whole.in_a_row(&slice),
                None => slice,
            });
        }
        Ok(whole.context("a limit has a line")?.times(of.each))
    }

    /// What the parts of a limit's lines do alone; `sum` is what they do all one after the other.
    fn parts(&mut self, of: Limit) -> Result<Value> {
        let (mut parts, mut sums) = (serde_json::Map::new(), Vec::new());
        for line in of.lines {
            let seconds = PART_SECONDS / of.lines.len() as f64;
            let found = self.program.ask(&format!("parts {line} {seconds}"))?;
            sums.push(found["sum"].as_f64().context("parts have a sum")?);
            parts.insert((*line).to_owned(), found);
        }
        parts.insert("sum".to_owned(), (in_a_row(&sums) * of.each as f64).into());
        Ok(Value::Object(parts))
    }
}

/// The rate of what needs one of each, one after the other.
fn in_a_row(rates: &[f64]) -> f64 {
    1.0 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_parts_are_added() {
        assert!((in_a_row(&[30.0, 60.0]) - 20.0).abs() < 1e-9);
        assert!((in_a_row(&[30.0, 60.0, 20.0]) - 10.0).abs() < 1e-9);
        assert!((in_a_row(&[7.0]) - 7.0).abs() < 1e-9);
    }
}
