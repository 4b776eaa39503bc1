//! Slices as standard input asks for them, line by line, each answered by a line of JSON: for `cargo xtask bench`, which
//! counts what each costs.
//!
//! ```text
//!   first, unasked   { "benchmarks": { ID: { unit, data, cache, pieces, each } }, "processes": { bare, memory } }
//!   value ID SECONDS     one slice                                          { ops, bytes, seconds, p50_us, p99_us, note }
//!   piece ID N SECONDS   one slice of the limit's piece N, from 0           the same
//!   parts ID N SECONDS   what that piece's parts do alone, calls a second   { wire, disk, crc, sum }, or null
//! ```

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Bench;
use super::limit::{self, Limit};
use super::row::Row;
use super::rows::ROWS;
use crate::exit;

/// Carries out what is asked until nothing more is.
pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let benchmarks: Map<String, Value> =
        ROWS.iter().map(|row| (row.id.to_owned(), described(row))).collect();
    let processes = bench.limits.as_ref().map(|limits| limits.processes());
    exit::print(&json!({ "benchmarks": benchmarks, "processes": processes }).to_string())?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            () = bench.stop.clone().wanted() => None,
        };
        let Some(line) = line else { return Ok(()) };
        let answer = bench.answer(&line).await.with_context(|| format!("`{line}`"))?;
        exit::print(&answer.to_string())?;
    }
}

fn described(row: &Row) -> Value {
    let mut described = limit::described(&Limit::of(&row.load));
    described["unit"] = row.unit.word().into();
    described["data"] = row.load.data().into();
    described["cache"] = row.load.cache().into();
    described
}

impl Bench<'_> {
    async fn answer(&mut self, line: &str) -> Result<Value> {
        let words: Vec<&str> = line.split(' ').collect();
        let [verb, id, .., seconds] = words[..] else { bail!("expected VERB ID [N] SECONDS") };
        let row = ROWS.iter().find(|row| row.id == id).context("there is no such benchmark")?;
        let time = Duration::try_from_secs_f64(seconds.parse()?)?;
        if verb == "value" {
            return Ok(serde_json::to_value(self.measured(row, time).await?)?);
        }
        let number: usize = words[2].parse().context("N")?;
        let pieces = Limit::of(&row.load).pieces;
        let piece = pieces.get(number).context("its limit has no such piece")?.clone();
        match verb {
            "piece" => Ok(serde_json::to_value(self.piece(&piece, time).await?)?),
            "parts" => self.limited(move |limits| limits.parts(&piece, time)).await,
            _ => bail!("a verb is value, piece or parts"),
        }
    }
}
