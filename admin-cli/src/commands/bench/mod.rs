//! `bench`: how fast a cluster is for one client, measured through the client library and through a mount.
//!
//! ```text
//!   rows.rs ── which there are: one table
//!   mod.rs ──► files.rs: a directory of its own ──► drive.rs, names.rs, small.rs, checkpoint.rs: calls ──► slice.rs
//!       └────► mounted/: the same of a directory that is mounted, by system calls
//! ```
//! It says values; what the machine could do at best, `cargo xtask bench` measures beside them, for which it drives
//! this command slice by slice. What it has made it removes, also when somebody stops it.

mod checkpoint;
mod clock;
mod drive;
mod files;
mod mounted;
mod names;
mod places;
mod rows;
mod slice;
mod small;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use self::clock::Stop;
use self::files::Files;
use self::mounted::Mounted;
use self::rows::{Load, ROWS, Row};
use self::slice::Slice;
use crate::args::BenchArgs;
use crate::connection::Connection;
use crate::exit::{self, End, Usage};
use crate::listing::Listing;
use crate::spinner::Spinner;

pub(crate) use self::rows::{help, is_row};

/// What is measured by, made when it is needed first.
struct Bench<'a> {
    connection: &'a Connection,
    stop: Stop,
    files: Option<Files>,
    mounted: Option<Mounted>,
}

/// Measures what was asked for.
pub(super) async fn run(connection: &Connection, json: bool, args: &BenchArgs) -> Result<End> {
    let [mut interrupt, mut terminate] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let (wanted, stop) = Stop::new();
    let mounted = args.mount.as_ref().map(|at| Mounted::at(at, &stop));
    let mut bench = Bench { connection, stop: stop.clone(), files: None, mounted };
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
    if args.slices {
        return slices(bench).await;
    }
    let rows = asked(args)?;
    let bar = Spinner::steps(rows.len());
    let columns = &["id", "value", "unit", "p50 us", "p99 us", "calls", "seconds", "what", "note"];
    let mut listing = Listing::new("benchmarks", columns);
    for row in rows {
        bar.say(format!("{}: {}", row.id, row.what));
        let slice = bench.measured(row, args.seconds).await?;
        bench.stop.check()?;
        bar.step();
        listing.push(vec![
            json!(row.id),
            json!((row.unit.value(&slice) * 10.0).round() / 10.0),
            json!(row.unit.word()),
            json!(slice.percentile(50)),
            json!(slice.percentile(99)),
            json!(slice.calls()),
            json!((slice.time.as_secs_f64() * 1000.0).round() / 1000.0),
            json!(row.what),
            json!(slice.note),
        ]);
    }
    drop(bar);
    Ok(listing.print(json)?)
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
    async fn measured(&mut self, row: &Row, time: Duration) -> Result<Slice> {
        let slice = match row.load {
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
        };
        slice.with_context(|| row.id.to_owned())
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
        let mounted = self.mounted.map(|mounted| tokio::task::spawn_blocking(|| mounted.remove()));
        if let Some(files) = self.files {
            files.remove().await?;
        }
        match mounted {
            Some(removing) => removing.await?,
            None => Ok(()),
        }
    }
}

/// Carries out what standard input says, line by line: `ROW SECONDS`, answered by a line of JSON. The first line,
/// before any, says that it can begin.
async fn slices(bench: &mut Bench<'_>) -> Result<()> {
    exit::print("{}")?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            () = bench.stop.clone().wanted() => None,
        };
        let Some(line) = line else { return Ok(()) };
        let Some((id, seconds)) = line.split_once(' ') else {
            bail!("expected ROW SECONDS, not `{line}`")
        };
        let row = ROWS.iter().find(|row| row.id == id);
        let row = row.with_context(|| format!("there is no benchmark `{id}`"))?;
        let seconds = Duration::try_from_secs_f64(seconds.parse()?)?;
        let slice = bench.measured(row, seconds).await?;
        exit::print(&slice.json().to_string())?;
    }
}
