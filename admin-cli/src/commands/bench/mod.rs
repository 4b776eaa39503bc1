//! `bench`: how fast a cluster is for one client, measured through the client library.
//!
//! ```text
//!   rows.rs ── which there are: one table
//!   mod.rs ──► files.rs: a directory of its own, files written once ──► drive.rs: calls kept under way ──► slice.rs
//! ```
//! It says values; what the machine could do at best, `cargo xtask bench` measures beside them, for which it drives
//! this command slice by slice. What it has made it removes, also when somebody stops it.

mod drive;
mod files;
mod places;
mod rows;
mod slice;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use emberfs_client::Client;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use self::files::Files;
use self::rows::{ROWS, Row};
use self::slice::Slice;
use crate::args::BenchArgs;
use crate::connection::Connection;
use crate::exit::{self, End};
use crate::listing::Listing;
use crate::spinner::Spinner;

pub(crate) use self::rows::{help, is_row};

/// Measures what was asked for.
pub(super) async fn run(connection: &Connection, json: bool, args: &BenchArgs) -> Result<End> {
    let mut ends = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let client = connection.client().await?;
    let files = Files::make(&client).await?;
    let [interrupt, terminate] = &mut ends;
    let measured = tokio::select! {
        measured = measure(&files, json, args) => measured.map(|()| End::Done),
        _ = interrupt.recv() => Ok(End::Interrupted),
        _ = terminate.recv() => Ok(End::Interrupted),
    };
    let removed = tokio::select! {
        removed = remove(files, &client) => removed,
        _ = interrupt.recv() => bail!("stopped at once: the directory of the benchmark is left"),
    };
    let end = measured?;
    removed?;
    Ok(end)
}

async fn measure(files: &Files, json: bool, args: &BenchArgs) -> Result<()> {
    if args.slices {
        return slices(files).await;
    }
    let asked = |row: &&Row| args.rows.is_empty() || args.rows.iter().any(|id| id == row.id);
    let spinner = Spinner::new();
    let columns = &["id", "value", "unit", "p50 us", "p99 us", "calls", "seconds", "what"];
    let mut listing = Listing::new("benchmarks", columns);
    for row in ROWS.iter().filter(asked) {
        spinner.say(format!("{}: {}", row.id, row.what));
        let slice = measured(row, files, args.seconds).await?;
        listing.push(vec![
            json!(row.id),
            json!((row.unit.value(&slice) * 10.0).round() / 10.0),
            json!(row.unit.word()),
            json!(slice.percentile(50)),
            json!(slice.percentile(99)),
            json!(slice.calls()),
            json!((slice.time.as_secs_f64() * 1000.0).round() / 1000.0),
            json!(row.what),
        ]);
    }
    drop(spinner);
    Ok(listing.print(json)?)
}

/// One slice of a row.
async fn measured(row: &Row, files: &Files, time: Duration) -> Result<Slice> {
    drive::carry_out(&row.load, files, time).await.with_context(|| row.id.to_owned())
}

/// Carries out what standard input says, line by line: `ROW SECONDS`, answered by a line of JSON. The first line,
/// before any, says that it can begin.
async fn slices(files: &Files) -> Result<()> {
    exit::print("{}")?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let Some((id, seconds)) = line.split_once(' ') else {
            bail!("expected ROW SECONDS, not `{line}`")
        };
        let row = ROWS.iter().find(|row| row.id == id);
        let row = row.with_context(|| format!("there is no benchmark `{id}`"))?;
        let seconds = Duration::try_from_secs_f64(seconds.parse()?)?;
        let slice = measured(row, files, seconds).await?;
        exit::print(&slice.json().to_string())?;
    }
    Ok(())
}

async fn remove(files: Files, client: &Client) -> Result<()> {
    files.remove().await?;
    Ok(client.close().await?)
}
