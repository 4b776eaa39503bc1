//! Limits, ready to be measured: the bare pipeline, a mount in memory, and a directory of this machine.
//!
//! All of it is in a new directory, on the disk whose limit is wanted, which is removed at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::clock::Stop;
use super::driven::Driven;
use super::limit::Piece;
use super::mounted::Mounted;
use super::slice::Outcome;
use crate::local::process;

/// A limit that gives less than this part of what its parts alone allow is weak.
pub(super) const WEAK: f64 = 0.9;
/// By how much the two limits of a pair may differ, as a part of the larger.
pub(super) const NOISE: f64 = 0.15;

/// What limits are measured by.
#[derive(Debug)]
pub(super) struct Limits {
    directory: PathBuf,
    bare: Driven,
    servers: Value,
    /// The file system in memory, and a directory in it; with `--mount`.
    memory: Option<(Driven, Mounted)>,
    local: Mounted,
}

impl Limits {
    /// Starts all, in a new directory in `parent`.
    pub(super) fn start(parent: &Path, with_mount: bool, stop: &Stop) -> Result<Self> {
        let directory = parent.join(format!(".emberfs-bench-limits-{}", std::process::id()));
        let made = fs::create_dir(&directory);
        made.with_context(|| format!("--limits: making {}", directory.display()))?;
        let started = Self::within(&directory, with_mount, stop);
        if started.is_err() {
            // What failed is said; what is left of the directory is empty, or said by its name.
            let _left = fs::remove_dir_all(&directory);
        }
        started
    }

    fn within(directory: &Path, with_mount: bool, stop: &Stop) -> Result<Self> {
        let mut drive = process::program("bare-pipeline")?;
        drive.arg("drive").arg("--directory").arg(directory.join("disks"));
        let (bare, ready) = Driven::start(drive)?;
        let servers = ready["servers"].clone();
        let (memory, local) = (directory.join("memory"), directory.join("local"));
        fs::create_dir(&local)?;
        let memory = match with_mount {
            true => {
                fs::create_dir(&memory)?;
                let mut mount = process::program("bare-pipeline")?;
                mount.arg("memory-mount").arg("--at").arg(&memory);
                Some((Driven::start(mount)?.0, Mounted::at(&memory, stop)))
            }
            false => None,
        };
        let local = Mounted::at(&local, stop);
        Ok(Self { directory: directory.to_owned(), bare, servers, memory, local })
    }

    /// The processes that do the work, for who drives slices.
    pub(super) fn processes(&self) -> Value {
        let memory: Vec<u32> = self.memory.iter().map(|(driven, _)| driven.process()).collect();
        json!({ "bare": self.servers, "memory": memory })
    }

    /// One slice of a piece; what the cluster does is not measured here.
    pub(super) fn slice(&mut self, piece: &Piece, time: Duration) -> Result<Outcome> {
        let slice = match *piece {
            Piece::Bare(ref line) => {
                let said = self.bare.ask(&format!("{line} {}", time.as_secs_f64()))?;
                return Ok(serde_json::from_value(said)?);
            }
            Piece::Memory(through) => match &mut self.memory {
                Some((_, mounted)) => mounted.carry_out(through, time)?,
                None => bail!("there is no --mount"),
            },
            Piece::Local(through) => self.local.carry_out(through, time)?,
            Piece::Native(_) => bail!("it is measured in the cluster"),
        };
        Ok(slice.outcome())
    }

    /// What the parts of a piece of the bare pipeline do alone, in calls a second; `sum` is what they do all one after
    /// the other. Others have no parts.
    pub(super) fn parts(&mut self, piece: &Piece, time: Duration) -> Result<Value> {
        match piece {
            Piece::Bare(line) => self.bare.ask(&format!("parts {line} {}", time.as_secs_f64())),
            _ => Ok(Value::Null),
        }
    }

    /// Ends all, and removes what was made.
    pub(super) fn remove(self) -> Result<()> {
        let Self { directory, bare, memory, local, .. } = self;
        local.remove()?;
        drop(bare);
        if let Some((driven, mounted)) = memory {
            mounted.remove()?;
            drop(driven);
        }
        let removed = fs::remove_dir_all(&directory);
        removed.with_context(|| format!("what was made is left: rm -r {}", directory.display()))
    }
}
