//! `cargo xtask bench`: what EmberFS does, beside what the machine could do at best, in the same minutes.
//!
//! ```text
//!   rows.rs ── which rows, of which loads ──┐
//!   medium.rs  a scratch directory, on the disk or in memory (`_ram`)
//!     start.rs     how long a server with very many chunks takes to start
//!     cluster.rs   a cluster of its own: three storage servers with a disk each, three replicas
//!     sides.rs     value and limit: `emberfs bench`, told what to do line by line (driven.rs, benchmarks.rs)
//!       pairs.rs   limit, value, value, limit, again and again ──► slice.rs, usage.rs (/proc)
//!       kernel.rs  system calls and flushes, in slices of their own (perf)
//!   plan.rs    how long all of that takes
//!   report.rs ◄── statistics.rs: medians and quartiles
//! ```
//! What a row does and what its limit is `emberfs bench` says; here is how long it is measured and what is wanted of it.
//! All loads with slices of 3 s would take an hour: those have them whose floors are judged, others 0.75 s.
//!
//! A disk of a shared machine swings by factors within a minute, so that only ratios mean anything, of slices that were
//! taken side by side, and floors are judged on `_ram` rows, where the CPU is the limit. Both sides have 512 MiB to
//! read and 512 MiB to write over, for each replica. Both read and write by O_DIRECT: no page cache has part in it.
//! What lies in caches below, a hypervisor's say, does so for both.

mod benchmarks;
mod cluster;
mod driven;
mod kernel;
mod medium;
mod pairs;
mod plan;
mod report;
mod rows;
mod sides;
mod slice;
mod start;
mod statistics;
mod usage;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use clap::Args;

use self::cluster::{Cluster, THREE};
use self::medium::{Medium, Scratch};
use self::pairs::{Allowance, Effort};
use self::plan::Plan;
use self::report::Line;
use self::rows::{LOADS, Measure, Row};
use self::sides::Sides;
use crate::step;

/// What is measured, and how long.
#[derive(Args)]
pub(crate) struct Bench {
    /// Slices of 1 s, two pairs, and less data where much is written: a first look
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
    let begin = Instant::now();
    let wanted = |medium: Medium| -> Vec<Row> {
        let is_asked = |id: &String| args.rows.is_empty() || args.rows.contains(id);
        let is_wanted = |row: &Row| row.is_on(medium) && is_asked(&medium.id_of(row.id));
        rows::rows().filter(is_wanted).collect()
    };
    let media = [Medium::Disk, Medium::Ram].map(|medium| (medium, wanted(medium)));
    let plan = Plan::of(&media, args.quick);
    println!("{plan}");
    let (mut lines, mut again) = (Vec::new(), plan.again);
    for (medium, rows) in media.iter().filter(|(_, rows)| !rows.is_empty()) {
        let measured = step::step(medium.word(), || {
            let (measured, left) = on(*medium, &scratch, rows, args.quick, again)?;
            again = left;
            Ok(measured)
        });
        lines.extend(measured?);
    }
    ensure!(!lines.is_empty(), "no row was measured");
    println!("{}", report::table(&lines));
    println!("{plan}; it took {:.0} s", begin.elapsed().as_secs_f64());
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

/// All rows on one medium; what is left of the time in which noisy pairs may be taken again.
fn on(
    medium: Medium,
    scratch: &Scratch,
    rows: &[Row],
    is_quick: bool,
    again: f64,
) -> Result<(Vec<Line>, f64)> {
    let place = scratch.place(medium)?;
    let of = |measure: Measure| rows.iter().find(move |row| row.measure == measure);
    let mut lines = Vec::new();
    if let Some(row) = of(Measure::Start) {
        let chunks = if is_quick { start::CHUNKS_QUICK } else { start::CHUNKS };
        let found = start::measure(scratch, &place, chunks)?;
        push(&mut lines, Line::start(medium.id_of(row.id), row, &found));
    }
    if rows.iter().all(|row| row.measure == Measure::Start) {
        return Ok((lines, again));
    }
    let cluster = Cluster::start(scratch, &place.join("cluster"), medium.word(), THREE)?;
    let memory = |row: &Row, at_most: bool| {
        let mib = usage::memory_mib(&cluster.processes(), at_most)?;
        anyhow::Ok(Line::memory(medium.id_of(row.id), row, mib, at_most))
    };
    if let Some(row) = of(Measure::Memory) {
        push(&mut lines, memory(row, false)?);
    }
    let mut sides = Sides::start(scratch, &place, &cluster, Allowance(again))?;
    if let Some(why) = sides.why_not_counted() {
        println!("system calls and flushes are not measured: {why}");
    }
    for load in LOADS {
        let mine: Vec<_> = rows.iter().filter(|row| row.is_of(load)).collect();
        if !mine.is_empty() {
            let run = sides.run(scratch, load, Effort::of(load.pace, medium, is_quick));
            let run = run.with_context(|| medium.id_of(load.name))?;
            for row in mine {
                push(&mut lines, Line::of(medium.id_of(row.id), row, &run));
            }
        }
    }
    if let Some(row) = of(Measure::BusyMemory) {
        sides.be_busy()?;
        push(&mut lines, memory(row, true)?);
    }
    let left = sides.allowance();
    sides.end(scratch)?;
    cluster.stop(scratch)?;
    Ok((lines, left))
}

/// Keeps a line, and says it to who waits.
fn push(lines: &mut Vec<Line>, line: Line) {
    println!("{}", line.summary());
    lines.push(line);
}
