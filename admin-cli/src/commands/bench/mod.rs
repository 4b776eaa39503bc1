//! `bench`: how fast a cluster is for one client, measured through the client library and through a mount.
//!
//! ```text
//!   rows.rs ── which there are: one table
//!   mod.rs ──► files.rs: a directory of its own ──► drive.rs, names.rs, small.rs, checkpoint.rs: calls ──► slice.rs
//!       ├────► mounted/: the same of a directory that is mounted, by system calls
//!       └────► limits.rs ──► driven.rs: what the machine could do at best, by `bare-pipeline`; limit.rs: by what
//! ```
//! It says values, and with `--limits` also limits, side by side (`compared.rs`). `cargo xtask bench` starts a cluster
//! for it, and drives this command slice by slice (`slices.rs`), so that it can count what each slice costs. What it has
//! made it removes, also when somebody stops it.

mod checkpoint;
mod clock;
mod compared;
mod drive;
mod driven;
mod files;
mod limit;
mod limits;
mod mounted;
mod names;
mod places;
mod row;
mod rows;
mod slice;
mod slices;
mod small;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use self::clock::Stop;
use self::files::Files;
use self::limits::Limits;
use self::mounted::Mounted;
use self::row::{Load, Row};
use self::rows::ROWS;
use self::slice::{Outcome, Slice};
use crate::args::BenchArgs;
use crate::connection::Connection;
use crate::exit::{End, Usage};
use crate::listing::Listing;
use crate::spinner::Spinner;

pub(crate) use self::rows::{help, is_row};

/// What is measured by, made when it is needed first.
struct Bench<'a> {
    connection: &'a Connection,
    stop: Stop,
    files: Option<Files>,
    mounted: Option<Mounted>,
    limits: Option<Limits>,
}

/// Measures what was asked for.
pub(super) async fn run(connection: &Connection, json: bool, args: &BenchArgs) -> Result<End> {
    let [mut interrupt, mut terminate] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let (wanted, stop) = Stop::new();
    let mounted = args.mount.as_ref().map(|at| Mounted::at(at, &stop));
    let mut bench = Bench { connection, stop: stop.clone(), files: None, mounted, limits: None };
    let whole = async {
        let measured = measure(&mut bench, json, args).await;
        // What failed first is said, and what is left beside.
        let removed = bench.remove().await;
        match (measured, removed) {
            (Err(error), Err(left)) if !stop.is_wanted() => Err(error.context(left.to_string())),
            (Err(error), Ok(())) if !stop.is_wanted() => Err(error),
            (_, removed) => removed,
        }
    };
    let twice = async {
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if wanted.send_replace(true) {
                return;
            }
        }
    };
    tokio::select! {
        ended = whole => ended?,
        () = twice => bail!("stopped at once: the directory of the benchmark is left"),
    }
    Ok(if stop.is_wanted() { End::Interrupted } else { End::Done })
}

async fn measure(bench: &mut Bench<'_>, json: bool, args: &BenchArgs) -> Result<()> {
    let rows = asked(args)?;
    if let Some(parent) = &args.limits {
        bench.start_limits(parent.clone()).await?;
    }
    if args.slices {
        return slices::run(bench).await;
    }
    let bar = Spinner::steps(rows.len());
    let mut listing = Listing::new("benchmarks", columns(args.limits.is_some()));
    for row in rows {
        bar.say(format!("{}: {}", row.id, row.what));
        let (outcome, limit) = match args.limits {
            Some(_) => bench.compared(row, args.seconds).await?,
            None => (bench.measured(row, args.seconds).await?, None),
        };
        bench.stop.check()?;
        bar.step();
        listing.push(cells(row, &outcome, limit, args.limits.is_some()));
    }
    drop(bar);
    Ok(listing.print(json)?)
}

/// What is said of each row.
fn columns(with_limits: bool) -> &'static [&'static str] {
    match with_limits {
        true => &[
            "id", "value", "limit", "ratio", "unit", "p50 us", "p99 us", "calls", "seconds",
            "data", "cache", "what", "note",
        ],
        false => &[
            "id", "value", "unit", "p50 us", "p99 us", "calls", "seconds", "data", "cache", "what",
            "note",
        ],
    }
}

fn cells(row: &Row, outcome: &Outcome, limit: Option<f64>, with_limits: bool) -> Vec<Value> {
    let to = |number: f64, parts: f64| (number * parts).round() / parts;
    let value = row.unit.value(outcome);
    let mut cells = vec![json!(row.id), json!(to(value, 10.0))];
    if with_limits {
        cells.push(json!(limit.map(|limit| to(limit, 10.0))));
        cells.push(json!(limit.map(|limit| to(value / limit, 100.0))));
    }
    cells.extend([
        json!(row.unit.word()),
        json!(outcome.p50_us),
        json!(outcome.p99_us),
        json!(outcome.ops),
        json!(to(outcome.seconds, 1000.0)),
        json!(row.load.data()),
        json!(row.load.cache()),
        json!(row.what),
        json!(outcome.note),
    ]);
    cells
}

/// Which rows are wanted: those that were said, else all that can be measured.
fn asked(args: &BenchArgs) -> Result<Vec<&'static Row>> {
    if args.rows.is_empty() {
        return Ok(ROWS.iter().filter(|row| args.mount.is_some() || !row.is_mounted()).collect());
    }
    let rows: Vec<_> = ROWS.iter().filter(|row| args.rows.iter().any(|id| id == row.id)).collect();
    match rows.iter().find(|row| row.is_mounted() && args.mount.is_none()) {
        Some(row) => {
            let words = format!("{} goes through a mount: say --mount PATH, which is one", row.id);
            Err(Usage(words).into())
        }
        None => Ok(rows),
    }
}

impl Bench<'_> {
    /// One slice of a row.
    async fn measured(&mut self, row: &Row, time: Duration) -> Result<Outcome> {
        let slice = self.carried_out(&row.load, time).await;
        slice.map(|slice| slice.outcome()).with_context(|| row.id.to_owned())
    }

    async fn carried_out(&mut self, load: &Load, time: Duration) -> Result<Slice> {
        match *load {
            Load::Through(load) => {
                let mut mounted = self.mounted.take().context("there is no --mount")?;
                // System calls wait in a thread that may.
                let (mounted, slice) = tokio::task::spawn_blocking(move || {
                    let slice = mounted.carry_out(load, time);
                    (mounted, slice)
                })
                .await?;
                self.mounted = Some(mounted);
                slice
            }
            ref load => {
                let files = match self.files.take() {
                    Some(files) => files,
                    None => self.connect().await?,
                };
                let slice = drive::carry_out(load, &files, time).await;
                self.files = Some(files);
                slice
            }
        }
    }

    /// Starts what limits are measured by: it writes its disks first.
    async fn start_limits(&mut self, parent: PathBuf) -> Result<()> {
        let (stop, with_mount) = (self.stop.clone(), self.mounted.is_some());
        let limits = move || Limits::start(&parent, with_mount, &stop);
        self.limits = Some(tokio::task::spawn_blocking(limits).await??);
        Ok(())
    }

    /// Does something with the limits, in a thread that may wait.
    async fn limited<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Limits) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut limits = self.limits.take().context("there is no --limits")?;
        let working = move || {
            let done = work(&mut limits);
            (limits, done)
        };
        let (limits, done) = tokio::task::spawn_blocking(working).await?;
        self.limits = Some(limits);
        done
    }

    async fn connect(&self) -> Result<Files> {
        let client = tokio::select! {
            client = self.connection.client_soon() => client?,
            () = self.stop.clone().wanted() => bail!("stopped"),
        };
        Files::make(client, self.stop.clone()).await
    }

    /// Removes what was made.
    async fn remove(self) -> Result<()> {
        let Self { files, mounted, limits, .. } = self;
        let beside = tokio::task::spawn_blocking(move || {
            let mounted = mounted.map_or(Ok(()), Mounted::remove);
            mounted.and(limits.map_or(Ok(()), Limits::remove))
        });
        if let Some(files) = files {
            files.remove().await?;
        }
        beside.await?
    }
}
