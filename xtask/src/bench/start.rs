//! How long a storage server takes to start that has a million chunks, and how much memory it has then.
//!
//! A cluster of one storage server is brought up; the server is stopped, and `many-chunks` of the tests fills its disk by
//! the engine that ships. Then `emberfs up` brings it back: what that takes, until all is well, is the value; the same
//! with an empty disk stands beside it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cluster::{Cluster, ONE};
use super::medium::Scratch;
use super::usage;

/// How many chunks.
pub(super) const CHUNKS: u64 = 1_000_000;
/// In a first look.
pub(super) const CHUNKS_QUICK: u64 = 100_000;
/// How often is looked whether a server has ended, and for how long.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOK_MAX: Duration = Duration::from_secs(30);

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) chunks: u64,
    pub(super) seconds: f64,
    /// With nothing on the disk.
    pub(super) empty_seconds: f64,
    /// Resident memory, and with nothing on the disk.
    pub(super) mib: f64,
    pub(super) empty_mib: f64,
}

/// Measures it, in a directory of its own that is removed.
pub(super) fn measure(scratch: &Scratch, place: &Path, chunks: u64) -> Result<Start> {
    let directory = place.join("start");
    let cluster = Cluster::start(scratch, &directory, "start", ONE)?;
    let targets = targets(scratch, cluster.name())?;
    stop(&cluster)?;
    let (empty_seconds, empty_mib) = again(scratch, &cluster)?;
    stop(&cluster)?;
    let mut fill = scratch.command("many-chunks");
    fill.arg(cluster.disk()).arg(chunks.to_string()).args(&targets);
    let filled = fill.status().context("cannot start many-chunks; is all built?")?;
    ensure!(filled.success(), "many-chunks ended with {filled}");
    let (seconds, mib) = again(scratch, &cluster)?;
    cluster.stop(scratch)?;
    std::fs::remove_dir_all(&directory)?;
    Ok(Start { chunks, seconds, empty_seconds, mib, empty_mib })
}

/// The numbers of the targets that the one disk has.
fn targets(scratch: &Scratch, cluster: &str) -> Result<Vec<String>> {
    let mut list = scratch.command("emberfs");
    let output = list.args(["--cluster", cluster, "--json", "target", "list"]).output()?;
    let said: Value = serde_json::from_slice(&output.stdout).context("`emberfs target list`")?;
    let listed = said["targets"].as_array().context("it lists targets")?;
    let number = |target: &Value| target["id"].as_u64().context("a target has a number");
    let number = |target| number(target).map(|number| number.to_string());
    listed.iter().map(number).collect()
}

/// Stops the storage server as an operator would, and waits until it has ended.
fn stop(cluster: &Cluster) -> Result<()> {
    let processes = cluster.storage();
    ensure!(!processes.is_empty(), "no storage server runs");
    for process in &processes {
        let mut kill = std::process::Command::new("kill");
        ensure!(kill.arg(process.to_string()).status()?.success(), "kill {process}");
    }
    let begin = Instant::now();
    while !cluster.storage().is_empty() {
        ensure!(begin.elapsed() < LOOK_MAX, "a storage server does not end");
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Brings it back: in how many seconds, and how many MiB it has then.
fn again(scratch: &Scratch, cluster: &Cluster) -> Result<(f64, f64)> {
    let begin = Instant::now();
    cluster.again(scratch)?;
    let seconds = begin.elapsed().as_secs_f64();
    Ok((seconds, usage::memory_mib(&cluster.storage(), false)?))
}
