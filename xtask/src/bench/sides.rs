//! Both sides of the comparison, ready to carry out slices, and what came of a load.
//!
//! `emberfs bench --slices --limits` does all of it, told line by line; here it is known whose processes work meanwhile:
//!
//! | what | who does it | whose cost it is |
//! | --- | --- | --- |
//! | value, by the client library | `emberfs bench` | the cluster's servers |
//! | value, through a mount | the same, by system calls | theirs and the mount's |
//! | its limit, piece by piece | `bare-pipeline`, the cluster, a mount in memory | whoever of them does it |
//!
//! All stay between slices, so that a slice costs nothing but its time. The cluster is mounted when it is needed first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::benchmarks::{Benchmark, By};
use super::cluster::Cluster;
use super::driven::Driven;
use super::kernel::Kernel;
use super::medium::Scratch;
use super::pairs::{self, Allowance, Effort, Pair, Which};
use super::rows::{Load, Pace};
use super::slice::{Slice, by};
use super::statistics::{WEAK, median};
use super::usage::{self, Usage};

/// How long the ways to do the same are compared, after what is needed was written.
const TRIAL_SECONDS: f64 = 0.5;
/// How long each part of a limit is measured alone.
const PART_SECONDS: f64 = 0.5;
/// For how long is counted what servers ask of the kernel.
const COUNT_SECONDS: f64 = 0.25;
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
    pub(super) benchmark: Benchmark,
    pub(super) pairs: Vec<Pair>,
    /// What was counted once more: value and limit; nothing, where nothing can be.
    pub(super) counted: Option<(Slice, Slice)>,
    /// What the limit's parts do alone, in calls a second.
    pub(super) parts: Value,
    /// Whether the limit is too low by what its parts alone can do.
    pub(super) is_weak: bool,
    /// In which ways it was done, the fastest first, which counts.
    pub(super) ways: Vec<(&'static str, f64)>,
}

/// Both sides.
pub(super) struct Sides {
    program: Driven,
    benchmarks: Value,
    processes: Processes,
    kernel: Kernel,
    cluster: String,
    mount: PathBuf,
    is_mounted: bool,
    allowance: Allowance,
}

/// Whose cost is measured.
struct Processes {
    servers: Vec<u32>,
    /// Of the mount, once there is one.
    mount: Vec<u32>,
    bare: Vec<u32>,
    memory: Vec<u32>,
}

impl Sides {
    /// Starts what every load needs.
    pub(super) fn start(
        scratch: &Scratch,
        place: &Path,
        cluster: &Cluster,
        allowance: Allowance,
    ) -> Result<Self> {
        let mount = place.join("mount");
        let mut program = scratch.command("emberfs");
        program.args(["--cluster", cluster.name(), "bench", "--slices", "--limits"]).arg(place);
        program.arg("--mount").arg(&mount);
        let (program, said) = Driven::start(program)?;
        let numbers = |of: &str| {
            let listed = said["processes"][of].as_array().context("it says processes")?;
            let numbers = listed.iter().filter_map(|pid| u32::try_from(pid.as_u64()?).ok());
            anyhow::Ok(numbers.collect())
        };
        let processes = Processes {
            servers: cluster.processes(),
            mount: Vec::new(),
            bare: numbers("bare")?,
            memory: numbers("memory")?,
        };
        Ok(Self {
            program,
            benchmarks: said["benchmarks"].clone(),
            processes,
            kernel: Kernel::find(),
            cluster: cluster.name().to_owned(),
            mount,
            is_mounted: false,
            allowance,
        })
    }

    /// Why system calls and flushes are not counted.
    pub(super) fn why_not_counted(&self) -> Option<&str> {
        self.kernel.why_not()
    }

    /// For how long noisy pairs may still be taken again.
    pub(super) fn allowance(&self) -> f64 {
        self.allowance.0
    }

    /// Runs one load on both.
    pub(super) fn run(
        &mut self,
        scratch: &Scratch,
        load: &'static Load,
        effort: Effort,
    ) -> Result<Run> {
        let benchmark = Benchmark::find(&self.benchmarks, load.name)?;
        if benchmark.is_mounted() {
            self.mount(scratch)?;
        }
        let ways = self.ways(load, &benchmark)?;
        let best = ways.first().context("each load is done in some way")?.0;
        let (parts, sum) = self.parts(load.name, &benchmark)?;
        let mut allowance = std::mem::replace(&mut self.allowance, Allowance(0.0));
        let pairs = pairs::take(effort, &mut allowance, |which, seconds| match which {
            Which::Limit => self.limit(load.name, &benchmark, seconds, false),
            Which::Value => self.value(best, &benchmark, seconds, false),
        });
        self.allowance = allowance;
        let pairs = pairs?;
        let seconds = match load.pace {
            // In a shorter one less is done.
            Pace::Whole => effort.seconds,
            Pace::Floor | Pace::Usual | Pace::Long => COUNT_SECONDS,
        };
        let counted = match self.kernel.why_not() {
            Some(_) => None,
            None => Some((
                self.value(best, &benchmark, seconds, true)?,
                self.limit(load.name, &benchmark, seconds, true)?,
            )),
        };
        let rates: Vec<f64> = pairs.iter().flat_map(|pair| &pair.limits).map(Slice::rate).collect();
        let is_weak = median(&rates) < WEAK * sum;
        Ok(Run { benchmark, pairs, counted, parts, is_weak, ways })
    }

    /// Has the servers do much, so that it is seen how much memory they take.
    pub(super) fn be_busy(&mut self) -> Result<()> {
        for name in BUSY {
            self.program.ask(&format!("value {name} {BUSY_SECONDS}"))?;
        }
        Ok(())
    }

    /// The ways to do it, the fastest first.
    fn ways(
        &mut self,
        load: &'static Load,
        benchmark: &Benchmark,
    ) -> Result<Vec<(&'static str, f64)>> {
        let mut tried = Vec::new();
        for way in [Some(load.name), load.other].into_iter().flatten() {
            // What is whole in any time needs no trial, nor does what has its own files behind a mount.
            let rate = match (load.pace, benchmark.is_mounted()) {
                (Pace::Whole | Pace::Long, _) | (_, true) => 0.0,
                _ => self.value(way, benchmark, TRIAL_SECONDS, false)?.rate(),
            };
            tried.push((way, rate));
        }
        tried.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(tried)
    }

    /// One slice of the value.
    fn value(&mut self, name: &str, of: &Benchmark, seconds: f64, counts: bool) -> Result<Slice> {
        let Processes { servers, mount, .. } = &self.processes;
        let of_mount = if of.is_mounted() { mount.as_slice() } else { &[] };
        let whose = [servers, of_mount].concat();
        self.slice(&whose, &format!("value {name} {seconds}"), counts)
    }

    /// One slice of a limit: each of its pieces has a part of the time.
    fn limit(&mut self, name: &str, of: &Benchmark, seconds: f64, counts: bool) -> Result<Slice> {
        let each = seconds / of.pieces.len() as f64;
        let mut whole: Option<Slice> = None;
        for (number, by) in of.pieces.iter().enumerate() {
            let whose = match by {
                By::Bare => self.processes.bare.clone(),
                By::Native => self.processes.servers.clone(),
                By::Memory => self.processes.memory.clone(),
                By::Local => Vec::new(),
            };
            let slice = self.slice(&whose, &format!("piece {name} {number} {each}"), counts)?;
            whole = Some(match whole {
                Some(whole) => whole.in_a_row(&slice),
                None => slice,
            });
        }
        Ok(whole.context("a limit has a piece")?.times(of.each))
    }

    /// One slice, with what it cost these processes.
    fn slice(&mut self, whose: &[u32], line: &str, counts: bool) -> Result<Slice> {
        let Self { program, kernel, .. } = self;
        let before = Usage::of(whose)?;
        let (said, asked) = match counts {
            true => kernel.count(whose, || program.ask(line))?,
            false => (program.ask(line)?, Default::default()),
        };
        let slice = Slice::read(&said, Usage::of(whose)?.since(before))?;
        Ok(Slice { asked, ..slice })
    }

    /// What the parts of a limit's pieces do alone, and what all do one after the other; other pieces have no parts.
    fn parts(&mut self, name: &str, of: &Benchmark) -> Result<(Value, f64)> {
        let (mut parts, mut seconds) = (Vec::new(), 0.0);
        let each = PART_SECONDS / of.pieces.len() as f64;
        for (number, by_what) in of.pieces.iter().enumerate() {
            if *by_what != By::Bare {
                return Ok((Value::Null, 0.0));
            }
            let found = self.program.ask(&format!("parts {name} {number} {each}"))?;
            seconds += by(1.0, found["sum"].as_f64().context("parts have a sum")?);
            parts.push(found);
        }
        Ok((parts.into(), by(of.each as f64, seconds)))
    }

    fn mount(&mut self, scratch: &Scratch) -> Result<()> {
        if self.is_mounted {
            return Ok(());
        }
        order(scratch, &self.cluster, "mount", &self.mount)?;
        self.is_mounted = true;
        self.processes.mount = usage::processes(&["emberfs-fuse"], &self.mount);
        ensure!(!self.processes.mount.is_empty(), "nobody serves {}", self.mount.display());
        Ok(())
    }

    /// Has all end, and remove what they made in the cluster.
    pub(super) fn end(self, scratch: &Scratch) -> Result<()> {
        let Self { program, cluster, mount, is_mounted, .. } = self;
        program.end()?;
        if is_mounted {
            order(scratch, &cluster, "umount", &mount)?;
        }
        Ok(())
    }
}

fn order(scratch: &Scratch, cluster: &str, verb: &str, mount: &Path) -> Result<()> {
    let mut command = scratch.command("emberfs");
    command.args(["--cluster", cluster, verb]).arg(mount);
    ensure!(command.status()?.success(), "`emberfs {verb} {}` failed", mount.display());
    Ok(())
}
