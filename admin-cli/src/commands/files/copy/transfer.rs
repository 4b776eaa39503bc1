//! How the bytes of one file move, in several pieces at a time.

use std::cell::Cell;

use anyhow::Result;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use indicatif::ProgressBar;

use super::open_file::{OpenFile, Part};
use crate::commands::files::PIECE_BYTES;
use crate::log;

/// Pieces of one file that move at a time.
const PIECES_AT_ONCE: usize = 4;

/// Writes a file of `len` bytes that is open and empty, and closes it; without `len`, as much as comes.
pub(super) async fn fill(
    from: &OpenFile,
    first: Part,
    to: OpenFile,
    len: Option<u64>,
    bar: &ProgressBar,
) -> Result<()> {
    // Where the last bytes end, and the last hole.
    let (bytes, holes) = (&Cell::new(0), &Cell::new(0));
    let put = |at: u64, part: Part| {
        let to = &to;
        async move {
            let (end, last) = match &part {
                Part::Bytes(_) => (at + part.len(), bytes),
                Part::Hole { .. } => (at + part.len(), holes),
            };
            // With it the file's other writes end, which is no news beside why.
            to.write(at, part).await.inspect_err(|_| log::hush_writes())?;
            if end > at {
                last.set(end.max(last.get()));
            }
            bar.inc(end - at);
            anyhow::Ok(())
        }
    };
    let mut at = first.len();
    put(0, first).await?;
    match len {
        Some(len) => {
            let at_once = if from.is_stream() || to.is_stream() { 1 } else { PIECES_AT_ONCE };
            stream::iter((0..len).step_by(PIECE_BYTES).skip(1))
                .map(|at| async move { put(at, from.read(at, piece(Some(len), at)).await?).await })
                .buffer_unordered(at_once)
                .try_collect::<()>()
                .await?;
        }
        None => loop {
            let part = from.read(at, PIECE_BYTES).await?;
            let len = part.len();
            if len == 0 {
                break;
            }
            put(at, part).await?;
            at += len;
        },
    }
    to.finish((holes > bytes).then(|| holes.get())).await
}

/// How many bytes of a file of `len` move at once from `at`.
pub(super) fn piece(len: Option<u64>, at: u64) -> usize {
    let rest = len.map(|len| usize::try_from(len - at).unwrap_or(usize::MAX));
    rest.unwrap_or(usize::MAX).min(PIECE_BYTES)
}
