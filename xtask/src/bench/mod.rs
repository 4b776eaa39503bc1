//! `cargo xtask bench`: what EmberFS does, beside what the machine could do at best, in the same minutes.
//!
//! ```text
//!   rows.rs ── which rows, of which loads ──┐
//!   medium.rs  a scratch directory, on the disk or in memory (`_ram`)
//!     cluster.rs   a cluster of its own: three storage servers with a disk each, three replicas
//!     sides.rs     value and limit: programs that are told what to do line by line (driven.rs)
//!       pairs.rs   limit, value, value, limit, again and again ──► slice.rs, usage.rs (/proc)
//!   report.rs ◄── statistics.rs: medians and quartiles
//! ```
//! A disk of a shared machine swings by factors within a minute, so that only ratios mean anything, of slices that were
//! taken side by side, and floors are judged on `_ram` rows, where the CPU is the limit. Both sides have 512 MiB to
//! read and 512 MiB to write over, for each replica. Both read and write by O_DIRECT: no page cache has part in it.
//! What lies in caches below, a hypervisor's say, does so for both.

mod cluster;
mod driven;
mod medium;
mod pairs;
mod report;
mod rows;
mod sides;
mod slice;
mod statistics;
mod usage;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use clap::Args;

use self::cluster::Cluster;
use self::medium::{Medium, Scratch};
use self::pairs::Effort;
use self::report::Line;
use self::rows::{LOADS, Measure, ROWS, Row};
use self::sides::Sides;
use crate::step;

/// What is measured, and how long.
#[derive(Args)]
pub(crate) struct Bench {
    /// Slices of 1 s instead of 3, and two pairs instead of five: a first look
    #[arg(long)]
    quick: bool,
    /// Only this row, as `native_seq_read_1m_s4_ram`; may be said several times
    #[arg(long = "row", value_name = "ID", value_parser = rows::is_row)]
    rows: Vec<String>,
    /// Also write them there as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure the programs that are built already
    #[arg(long)]
    no_build: bool,
}

/// Measures and prints.
pub(crate) fn run(args: &Bench) -> Result<()> {
    let programs = programs(args.no_build)?;
    let scratch = Scratch::make(&programs)?;
    let effort = if args.quick { Effort::QUICK } else { Effort::FULL };
    let mut lines = Vec::new();
    for medium in [Medium::Disk, Medium::Ram] {
        let wanted: Vec<&Row> = ROWS
            .iter()
            .filter(|row| {
                args.rows.is_empty() || args.rows.iter().any(|id| *id == medium.id_of(row.id))
            })
            .collect();
        if !wanted.is_empty() {
            let measured = step::step(medium.word(), || on(medium, &scratch, &wanted, effort));
            lines.extend(measured?);
        }
    }
    ensure!(!lines.is_empty(), "no row was measured");
    println!("{}", report::table(&lines, effort));
    if let Some(file) = &args.json {
        std::fs::write(file, report::json(&lines)).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// Where the programs are, built.
fn programs(are_built: bool) -> Result<PathBuf> {
    if !are_built {
        step::step("programs", || {
            step::command("cargo", &["build", "--release", "--workspace", "--bins", "--locked"])
        })?;
    }
    let metadata =
        MetadataCommand::new().no_deps().other_options(["--locked".to_owned()]).exec()?;
    Ok(metadata.target_directory.join("release").into())
}

/// All rows on one medium.
fn on(medium: Medium, scratch: &Scratch, rows: &[&Row], effort: Effort) -> Result<Vec<Line>> {
    let place = scratch.place(medium)?;
    let cluster = Cluster::start(scratch, &place.join("cluster"), medium)?;
    let mut lines = Vec::new();
    let is_idle = |row: &&&Row| row.measure == Measure::Memory;
    for row in rows.iter().filter(is_idle) {
        lines.push(Line::memory(medium.id_of(row.id), usage::memory_mib(&cluster.processes())?));
    }
    let mut sides = Sides::start(scratch, &place, &cluster)?;
    for load in LOADS {
        let mine: Vec<_> = rows.iter().filter(|row| row.load == load.name).collect();
        if !mine.is_empty() {
            let run = sides.run(scratch, load, effort)?;
            for row in mine {
                let line = Line::of(medium.id_of(row.id), row, &run);
                println!("{}", line.summary());
                lines.push(line);
            }
        }
    }
    sides.end(scratch)?;
    cluster.stop(scratch)?;
    Ok(lines)
}
