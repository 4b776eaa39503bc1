//! Keeping calls under way for a time, and timing them.
//!
//! Callers are futures of one task: what they wait for is done by others.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use emberfs_client::{File, FileOffset};
use futures_util::future::try_join_all;

use super::clock::Clock;
use super::files::{FILE_BYTES, FILES, Files, noise};
use super::places::Places;
use super::row::{Load, OVERWRITE_BYTES, SEQUENTIAL_BYTES};
use super::slice::Slice;
use super::{checkpoint, names, small};

/// Carries out a load for so long.
pub(super) async fn carry_out(load: &Load, files: &Files, time: Duration) -> Result<Slice> {
    match *load {
        Load::SequentialRead { streams } => sequential_read(files, streams, time).await,
        Load::SequentialWrite { streams } => sequential_write(files, streams, time).await,
        Load::RandomRead { size, depth } => random_read(files, size, depth, time).await,
        Load::RandomBatch { size, depth } => random_batch(files, size, depth, time).await,
        Load::Overwrite { depth } => overwrite(files, depth, time).await,
        Load::Names { what, callers } => names::carry_out(what, files, callers, time).await,
        Load::SmallWrite { size, callers } => small::write(files, size, callers, time).await,
        Load::SmallRead { callers } => small::read(files, callers, time).await,
        Load::Checkpoint => checkpoint::write(files, time).await,
        Load::Restore => checkpoint::read(files, time).await,
        Load::Through(_) => bail!("it goes through a mount"),
    }
}

/// So many callers who do `act` again and again until the clock has run out, each with a state of its own and told how
/// often it did so before. A turn says how many calls and bytes it was; of none, nothing is left to do.
pub(super) async fn repeat<S>(
    callers: usize,
    clock: &Clock,
    state: impl Fn(usize) -> S,
    act: impl AsyncFn(&mut S, u64) -> Result<(usize, usize)>,
) -> Result<Slice> {
    let (act, state) = (&act, &state);
    let slices = try_join_all((0..callers).map(|caller| async move {
        let (mut slice, mut state) = (Slice::default(), state(caller));
        for turn in 0.. {
            let from = Instant::now();
            let (calls, bytes) = act(&mut state, turn).await?;
            if calls == 0 || clock.is_over() {
                break;
            }
            slice.count(clock.begin, from, calls, bytes);
        }
        anyhow::Ok(slice)
    }))
    .await?;
    Ok(Slice::joined(slices))
}

/// Where the call of this turn is in a file that is gone through in order.
fn in_order(turn: u64) -> FileOffset {
    FileOffset(turn * SEQUENTIAL_BYTES as u64 % FILE_BYTES)
}

async fn sequential_read(files: &Files, streams: usize, time: Duration) -> Result<Slice> {
    let (stop, files) = (&files.stop, files.reads().await?);
    let state = |caller: usize| (&files[caller % FILES], vec![0; SEQUENTIAL_BYTES]);
    let clock = Clock::start(time, stop);
    repeat(streams, &clock, state, async |(file, buffer), turn| {
        read(file, in_order(turn), buffer).await
    })
    .await
}

async fn sequential_write(files: &Files, streams: usize, time: Duration) -> Result<Slice> {
    let stop = &files.stop;
    let (files, bytes) = (files.writes().await?, noise(SEQUENTIAL_BYTES));
    let state = |caller: usize| &files[caller % FILES];
    let clock = Clock::start(time, stop);
    repeat(streams, &clock, state, async |file, turn| {
        file.write_at(in_order(turn), bytes.clone()).await?;
        Ok((1, SEQUENTIAL_BYTES))
    })
    .await
}

async fn random_read(files: &Files, size: usize, depth: usize, time: Duration) -> Result<Slice> {
    let (stop, files) = (&files.stop, files.reads().await?);
    let state = |caller: usize| (Places::of(caller), vec![0; size]);
    let clock = Clock::start(time, stop);
    repeat(depth, &clock, state, async |(places, buffer), _| {
        let (file, at) = (places.below(FILES as u64), places.below(FILE_BYTES / size as u64));
        let file = &files[usize::try_from(file).expect("few files")];
        read(file, FileOffset(at * size as u64), buffer).await
    })
    .await
}

/// Reads into a buffer that comes back.
async fn read(file: &File, at: FileOffset, buffer: &mut Vec<u8>) -> Result<(usize, usize)> {
    let (read, back) = file.read_at(at, std::mem::take(buffer)).await;
    *buffer = back;
    Ok((1, read?))
}

async fn random_batch(files: &Files, size: usize, depth: usize, time: Duration) -> Result<Slice> {
    let (stop, files) = (&files.stop, files.reads().await?);
    let state = |caller: usize| (Places::of(caller), vec![vec![0; size]; depth]);
    let clock = Clock::start(time, stop);
    repeat(1, &clock, state, async |(places, buffers), _| {
        let file = usize::try_from(places.below(FILES as u64)).expect("few files");
        let mut ranges = Vec::with_capacity(depth);
        for buffer in buffers.drain(..) {
            ranges.push((FileOffset(places.below(FILE_BYTES / size as u64) * size as u64), buffer));
        }
        let mut bytes = 0;
        for (read, buffer) in files[file].read_batch(ranges).await {
            bytes += read?;
            buffers.push(buffer);
        }
        Ok((depth, bytes))
    })
    .await
}

async fn overwrite(files: &Files, depth: usize, time: Duration) -> Result<Slice> {
    let stop = &files.stop;
    let (files, bytes) = (files.writes().await?, noise(OVERWRITE_BYTES));
    let clock = Clock::start(time, stop);
    repeat(depth, &clock, Places::of, async |places, _| {
        let file = usize::try_from(places.below(FILES as u64)).expect("few files");
        let at = places.below(FILE_BYTES / OVERWRITE_BYTES as u64) * OVERWRITE_BYTES as u64;
        files[file].write_at(FileOffset(at), bytes.clone()).await?;
        Ok((1, OVERWRITE_BYTES))
    })
    .await
}
