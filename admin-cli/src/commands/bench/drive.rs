//! Keeping calls under way for a time, and timing them.
//!
//! Callers are futures of one task: what they wait for is done by others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use emberfs_client::{ClientError, File, FileOffset, OpenOptions};
use futures_util::future::try_join_all;

use super::files::{FILE_BYTES, FILES, Files, NAMES, noise};
use super::places::Places;
use super::rows::{Load, OVERWRITE_BYTES, SEQUENTIAL_BYTES};
use super::slice::Slice;

/// Carries out a load for so long.
pub(super) async fn carry_out(
    load: &Load,
    files: &Files,
    time: Duration,
) -> Result<Slice, ClientError> {
    match *load {
        Load::SequentialRead { streams } => sequential_read(files, streams, time).await,
        Load::SequentialWrite { streams } => sequential_write(files, streams, time).await,
        Load::RandomRead { size, depth } => random_read(files, size, depth, time).await,
        Load::RandomBatch { size, depth } => random_batch(files, size, depth, time).await,
        Load::Overwrite { depth } => overwrite(files, depth, time).await,
        Load::Create { callers } => create(files, callers, time).await,
        Load::Stat { callers } => stat(files, callers, time).await,
    }
}

/// So many callers who do `act` again and again, each told which it is and how often it did so before. A turn says
/// how many calls and bytes it was.
async fn repeat<S>(
    callers: usize,
    time: Duration,
    state: impl Fn(usize) -> S,
    act: impl AsyncFn(&mut S, u64) -> Result<(usize, usize), ClientError>,
) -> Result<Slice, ClientError> {
    let (begin, act, state) = (Instant::now(), &act, &state);
    let slices = try_join_all((0..callers).map(|caller| async move {
        let (mut slice, mut state) = (Slice::default(), state(caller));
        for turn in 0.. {
            let from = Instant::now();
            let (calls, bytes) = act(&mut state, turn).await?;
            if begin.elapsed() >= time {
                break;
            }
            slice.count(begin, from, calls, bytes);
        }
        Ok::<_, ClientError>(slice)
    }))
    .await?;
    Ok(Slice::joined(slices))
}

/// Where the call of this turn is in a file that is gone through in order.
fn in_order(turn: u64) -> FileOffset {
    FileOffset(turn * SEQUENTIAL_BYTES as u64 % FILE_BYTES)
}

async fn sequential_read(
    files: &Files,
    streams: usize,
    time: Duration,
) -> Result<Slice, ClientError> {
    let files = files.reads().await?;
    let state = |caller: usize| (&files[caller % FILES], vec![0; SEQUENTIAL_BYTES]);
    repeat(streams, time, state, async |(file, buffer), turn| {
        read(file, in_order(turn), buffer).await
    })
    .await
}

async fn sequential_write(
    files: &Files,
    streams: usize,
    time: Duration,
) -> Result<Slice, ClientError> {
    let (files, bytes) = (files.writes().await?, noise(SEQUENTIAL_BYTES));
    let state = |caller: usize| &files[caller % FILES];
    repeat(streams, time, state, async |file, turn| {
        file.write_at(in_order(turn), bytes.clone()).await?;
        Ok((1, SEQUENTIAL_BYTES))
    })
    .await
}

async fn random_read(
    files: &Files,
    size: usize,
    depth: usize,
    time: Duration,
) -> Result<Slice, ClientError> {
    let files = files.reads().await?;
    let state = |caller: usize| (Places::of(caller), vec![0; size]);
    repeat(depth, time, state, async |(places, buffer), _| {
        let (file, at) = (places.below(FILES as u64), places.below(FILE_BYTES / size as u64));
        let file = &files[usize::try_from(file).expect("few files")];
        read(file, FileOffset(at * size as u64), buffer).await
    })
    .await
}

/// Reads into a buffer that comes back.
async fn read(
    file: &File,
    at: FileOffset,
    buffer: &mut Vec<u8>,
) -> Result<(usize, usize), ClientError> {
    let (read, back) = file.read_at(at, std::mem::take(buffer)).await;
    *buffer = back;
    Ok((1, read?))
}

async fn random_batch(
    files: &Files,
    size: usize,
    depth: usize,
    time: Duration,
) -> Result<Slice, ClientError> {
    let files = files.reads().await?;
    let state = |caller: usize| (Places::of(caller), vec![vec![0; size]; depth]);
    repeat(1, time, state, async |(places, buffers), _| {
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

async fn overwrite(files: &Files, depth: usize, time: Duration) -> Result<Slice, ClientError> {
    let (files, bytes) = (files.writes().await?, noise(OVERWRITE_BYTES));
    repeat(depth, time, Places::of, async |places, _| {
        let file = usize::try_from(places.below(FILES as u64)).expect("few files");
        let at = places.below(FILE_BYTES / OVERWRITE_BYTES as u64) * OVERWRITE_BYTES as u64;
        files[file].write_at(FileOffset(at), bytes.clone()).await?;
        Ok((1, OVERWRITE_BYTES))
    })
    .await
}

/// Names of files that were created, in this process.
static CREATED: AtomicU64 = AtomicU64::new(0);

async fn create(files: &Files, callers: usize, time: Duration) -> Result<Slice, ClientError> {
    let new = OpenOptions::new().write(true).create_new(true);
    repeat(
        callers,
        time,
        |_| (),
        async |(), _| {
            let name = format!("new-{}", CREATED.fetch_add(1, Ordering::Relaxed));
            files.fs.open(files.path(&name), &new).await?.close().await?;
            Ok((1, 0))
        },
    )
    .await
}

async fn stat(files: &Files, callers: usize, time: Duration) -> Result<Slice, ClientError> {
    files.names().await?;
    repeat(callers, time, Places::of, async |places, _| {
        files.fs.stat(files.named(places.below(NAMES))).await?;
        Ok((1, 0))
    })
    .await
}
