//! Many small files, written and read whole.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Result;
use emberfs_client::{FileOffset, OpenOptions};
use futures_util::future::try_join_all;

use super::clock::Clock;
use super::drive::repeat;
use super::files::{Files, noise};
use super::slice::Slice;

/// How many there are.
pub(super) const COUNT: u64 = if cfg!(test) { 100 } else { 2000 };
/// Size of each that is read.
pub(super) const BYTES: usize = 110 << 10;
/// Going on by so many, modulo [`COUNT`], leads to each once, in an order that nobody foresees: they have no divisor
/// in common.
const STRIDE: u64 = 1237;
/// How many are written ahead at a time.
const AHEAD: usize = 16;

/// The name of the file whose turn it is.
pub(super) fn name(turn: u64) -> String {
    format!("small-{}", turn % COUNT * STRIDE % COUNT)
}

/// Writes new ones until the time is over or all are there; they are durable when they count.
pub(super) async fn write(
    files: &Files,
    size: usize,
    callers: usize,
    time: Duration,
) -> Result<Slice> {
    let directory = match size {
        BYTES => "small",
        _ => "other",
    };
    let (directory, bytes) = (files.fresh(directory).await?, noise(size));
    let (clock, next) = (Clock::start(time, &files.stop), Cell::new(0));
    let slice = repeat(
        callers,
        &clock,
        |_| (),
        async |(), _| {
            let turn = next.replace(next.get() + 1);
            if turn >= COUNT {
                return Ok((0, 0));
            }
            let new = OpenOptions::new().write(true).create_new(true).report_late(true);
            let file = files.fs.open(format!("{directory}/{}", name(turn)), &new).await?;
            file.write_at(FileOffset(0), bytes.clone()).await?;
            file.close().await?;
            Ok((1, size))
        },
    )
    .await?;
    if size == BYTES {
        files.small.set(next.get().min(COUNT));
    }
    Ok(slice)
}

/// Reads all of them, each whole, until the time is over.
pub(super) async fn read(files: &Files, callers: usize, time: Duration) -> Result<Slice> {
    let directory = prepare(files).await?;
    let (clock, next) = (Clock::start(time, &files.stop), Cell::new(0));
    let state = |_| vec![0; BYTES];
    repeat(callers, &clock, state, async |buffer, _| {
        let turn = next.replace(next.get() + 1);
        let path = format!("{directory}/{}", name(turn));
        let file = files.fs.open(path, &OpenOptions::new().read(true)).await?;
        let (read, back) = file.read_at(FileOffset(0), std::mem::take(buffer)).await;
        *buffer = back;
        file.close().await?;
        Ok((1, read?))
    })
    .await
}

/// Writes those that are missing; in which directory they are.
async fn prepare(files: &Files) -> Result<String> {
    let (directory, bytes) = (files.path("small"), noise(BYTES));
    if files.small.get() == 0 {
        files.fresh("small").await?;
    }
    let next = &files.small;
    let writer = |_| async {
        loop {
            let turn = next.get();
            if turn >= COUNT {
                return Ok(());
            }
            next.set(turn + 1);
            files.stop.check()?;
            let new = OpenOptions::new().write(true).create_new(true).report_late(true);
            let file = files.fs.open(format!("{directory}/{}", name(turn)), &new).await?;
            file.write_at(FileOffset(0), bytes.clone()).await?;
            file.close().await?;
        }
    };
    try_join_all((0..AHEAD).map(writer)).await.map(|_: Vec<()>| directory.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_file_has_its_turn_once() {
        let names: BTreeSet<String> = (0..COUNT).map(name).collect();
        assert_eq!(names.len() as u64, COUNT);
        assert_eq!(name(COUNT + 1), name(1));
    }
}
