//! A checkpoint as training programs write it: several files at once, each synced and then given its name; and reading
//! it again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use emberfs_client::{FileOffset, OpenOptions};
use futures_util::future::try_join_all;

use super::files::{Files, noise};
use super::names::SHORT;
use super::slice::Slice;

/// How many files, each by a writer of its own.
pub(super) const WRITERS: u64 = 4;
/// Size of each.
pub(super) const FILE_BYTES: u64 = 256 << 20;
/// The least that it is scaled down to, where room or time is short.
const FILE_BYTES_MIN: u64 = 16 << 20;
/// How much one call moves.
const CALL_BYTES: usize = 1 << 20;

/// The size of each file: the whole one, or a quarter in a short slice, and no more than leaves as much room again.
fn size(free: u64, time: Duration) -> u64 {
    let mut size = if time > SHORT { FILE_BYTES } else { FILE_BYTES / 4 };
    while size > FILE_BYTES_MIN && 2 * WRITERS * size > free {
        size /= 2;
    }
    size
}

/// What is to be said of a size that is not the whole one.
fn note(size: u64) -> Option<String> {
    (size < FILE_BYTES).then(|| format!("scaled down: 4 x {} MiB", size >> 20))
}

/// Writes one, however long that takes.
pub(super) async fn write(files: &Files, time: Duration) -> Result<Slice> {
    files.checkpoint.set(0);
    let directory = files.fresh("checkpoint").await?;
    let size = size(files.fs.space().await?.free.0, time);
    let (begin, bytes) = (Instant::now(), noise(CALL_BYTES));
    let writer = async |number: u64| {
        let (part, whole) = (format!("{directory}/{number}.part"), format!("{directory}/{number}"));
        let new = OpenOptions::new().write(true).create_new(true).report_late(true);
        let (file, mut slice) = (files.fs.open(&part, &new).await?, Slice::default());
        for at in (0..size).step_by(CALL_BYTES) {
            files.stop.check()?;
            let from = Instant::now();
            file.write_at(FileOffset(at), bytes.clone()).await?;
            slice.count(begin, from, 1, CALL_BYTES);
        }
        file.sync().await?;
        files.fs.rename(part, whole).await?;
        file.close().await?;
        slice.time = begin.elapsed();
        anyhow::Ok(slice)
    };
    let slices = try_join_all((0..WRITERS).map(writer)).await?;
    files.checkpoint.set(size);
    Ok(Slice { note: note(size), ..Slice::joined(slices) })
}

/// Reads one, however long that takes; where there is none yet, it is written first.
pub(super) async fn read(files: &Files, time: Duration) -> Result<Slice> {
    if files.checkpoint.get() == 0 {
        write(files, time).await?;
    }
    let (size, directory) = (files.checkpoint.get(), files.path("checkpoint"));
    let begin = Instant::now();
    let reader = async |number: u64| {
        let options = OpenOptions::new().read(true);
        let file = files.fs.open(format!("{directory}/{number}"), &options).await?;
        let (mut slice, mut buffer) = (Slice::default(), vec![0; CALL_BYTES]);
        for at in (0..size).step_by(CALL_BYTES) {
            files.stop.check()?;
            let from = Instant::now();
            let (read, back) = file.read_at(FileOffset(at), buffer).await;
            buffer = back;
            let read = read?;
            ensure!(read == CALL_BYTES, "a checkpoint is shorter than it was written");
            slice.count(begin, from, 1, read);
        }
        file.close().await?;
        anyhow::Ok(slice)
    };
    let slices = try_join_all((0..WRITERS).map(reader)).await?;
    Ok(Slice { note: note(size), ..Slice::joined(slices) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_large_as_there_is_room_and_time() {
        let long = Duration::from_secs(3);
        assert_eq!(size(u64::MAX, long), FILE_BYTES);
        assert_eq!(size(u64::MAX, SHORT), FILE_BYTES / 4);
        assert_eq!(size(1 << 30, long), FILE_BYTES / 2);
        assert_eq!(size(0, long), FILE_BYTES_MIN);
        assert_eq!(note(FILE_BYTES), None);
        assert!(note(FILE_BYTES_MIN).expect("smaller").contains("16 MiB"));
    }
}
