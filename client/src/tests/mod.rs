//! Tests of the client against scripted servers over loopback.

mod bytes;
mod check;
mod damaged;
mod example;
mod faults;
mod gone;
mod group;
mod names;
mod namespace;
mod server;
mod sessions;
mod settled;
mod threads;
mod world;

use emberfs_layout::{ChunkId, ChunkIndex, ChunkSize, DataId, FileOffset};

use crate::{Bytes, Client, File, OpenOptions};

/// Bytes of one chunk of the scripted servers' files.
const CHUNK: usize = ChunkSize::MIN.bytes() as usize;

/// For reading and writing, created if it is not there.
fn both() -> OpenOptions {
    OpenOptions::new().read(true).write(true).create(true)
}

/// Bytes that differ from place to place.
fn pattern(len: usize, salt: u8) -> Bytes {
    let byte = |i: usize| u8::try_from((i / 7 + i * 31) % 251).expect("below 251") ^ salt;
    (0..len).map(byte).collect::<Vec<u8>>().into()
}

/// All bytes of a file up to `len`, as one read gives them.
async fn contents(file: &File, len: usize) -> Vec<u8> {
    let (read, mut buf) = file.read_at(FileOffset(0), vec![0xee; len]).await;
    buf.truncate(read.expect("read"));
    buf
}

/// A new file with this name and these bytes.
async fn filled(client: &Client, name: &str, bytes: &Bytes) -> File {
    let file = client.fs().open(name, &both()).await.expect("created");
    file.write_at(FileOffset(0), bytes.clone()).await.expect("written");
    file
}

/// A chunk of a file of the scripted servers, whose bytes have the inode's number.
fn chunk(file: &File, index: u32) -> ChunkId {
    ChunkId::new(DataId(file.inode().get()), ChunkIndex(index))
}
