//! Writes that somebody gave up, or that were refused: what was sent is settled, and counts.

mod deadlines;
mod given_up;
mod late_copies;
mod lengths;

use emberfs_layout::{DataId, FileOffset, InodeId};
use emberfs_wire::Request;
use emberfs_wire::chunk::UpdateChunk;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::CHUNK;
use super::server::Servers;
use super::world::{Fault, State};
use crate::{Bytes, ClientError, File};

type Write<'a> = BoxFuture<'a, Result<(), ClientError>>;

fn at(chunk: usize) -> FileOffset {
    FileOffset((chunk * CHUNK) as u64)
}

/// Begins to write, and goes on until its requests met these faults.
async fn meeting<'a>(
    servers: &Servers,
    file: &'a File,
    (at, bytes): (FileOffset, Bytes),
    faults: Vec<Fault>,
) -> Write<'a> {
    servers.world.script(UpdateChunk::METHOD, faults);
    let met = servers.world.until("all are met", |state| state.faults_left() == 0);
    let mut write = file.write_at(at, bytes).boxed();
    tokio::select! { _ = &mut write => panic!("it hangs"), () = met => {} }
    write
}

/// The same, of a write that hangs at the servers with so many requests.
async fn hanging<'a>(
    servers: &Servers,
    file: &'a File,
    at: FileOffset,
    bytes: Bytes,
    requests: usize,
) -> Write<'a> {
    meeting(servers, file, (at, bytes), vec![Fault::Hang; requests]).await
}

/// Whether it has nothing to say though the servers answer other calls.
async fn waits<T>(file: &File, call: &mut (impl Future<Output = T> + Unpin)) {
    for _ in 0..3 {
        tokio::select! {
            biased;
            _ = &mut *call => panic!("it waits"),
            told = file.stat() => drop(told.expect("told")),
        }
    }
}

/// The furthest byte of a file that a server has.
fn end_held(state: &State, inode: InodeId) -> u64 {
    let of_file = state.chunks.iter().filter(|((_, id), _)| id.data == DataId(inode.get()));
    let ends =
        of_file.map(|((_, id), bytes)| at(id.index.get() as usize).get() + bytes.len() as u64);
    ends.max().unwrap_or(0)
}
