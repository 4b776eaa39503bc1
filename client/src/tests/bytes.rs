//! Bytes that come back as they were written: batches, ends, holes, losses.

use emberfs_layout::{ByteLen, ChunkIndex, FileOffset, Sequence, TargetId};
use emberfs_wire::Request;
use emberfs_wire::chunk::{ReadChunks, UpdateChunk};
use emberfs_wire::meta::{Ask, Mutate};

use super::server::Servers;
use super::world::Fault;
use super::{CHUNK, both, chunk, contents, filled, pattern};
use crate::{Bytes, ClientError, FsError, OpenOptions};

#[tokio::test]
async fn what_is_written_is_read_and_reads_end_at_the_end() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let bytes = pattern(5 * CHUNK + 1234, 0);
    let file = filled(&client, "a", &bytes).await;
    assert_eq!(contents(&file, 6 * CHUNK).await, bytes);
    assert_eq!(servers.world.state().applied.len(), 6, "one request a chunk");
    let (past, _) = file.read_at(FileOffset(6 * CHUNK as u64), vec![0; 10]).await;
    assert_eq!(past, Ok(0));
    file.write_at(FileOffset(100), Bytes::from_static(b"patched")).await.expect("written");
    let mut patched = bytes.to_vec();
    patched[100..107].copy_from_slice(b"patched");
    assert_eq!(contents(&file, patched.len()).await, patched);
    assert!(servers.world.state().shards.is_empty(), "each was asked on its own shard");
    file.close().await.expect("closed");
    let fs = client.fs();
    let again = fs.open("a", &OpenOptions::new().read(true)).await.expect("there");
    assert_eq!(contents(&again, patched.len()).await, patched);
    let refused = again.write_at(FileOffset(0), Bytes::from_static(b"x")).await;
    assert_eq!(refused, Err(FsError::InvalidArgument.into()));
    let limit = FileOffset(u64::MAX - 3);
    let file = fs.open("a", &both()).await.expect("there");
    let refused = file.write_at(limit, Bytes::from_static(b"four")).await;
    assert_eq!(refused, Err(FsError::FileTooLarge.into()));
}

#[tokio::test]
async fn a_batch_shares_requests() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let bytes = pattern(8 * CHUNK, 3);
    let file = filled(&client, "a", &bytes).await;
    let before = servers.world.calls(ReadChunks::METHOD);
    let reads = (0..64).map(|i| (FileOffset(i * 8_000), vec![0; 4096])).collect();
    for (i, (read, buf)) in file.read_batch(reads).await.into_iter().enumerate() {
        let (read, at) = (read.expect("read"), i * 8_000);
        assert_eq!(read, (bytes.len() - at).min(4096));
        assert_eq!(buf[..read], bytes[at..at + read]);
    }
    let requests = servers.world.calls(ReadChunks::METHOD) - before;
    assert!(requests <= 7, "{requests} requests for six shards and one end");
    let bad = vec![(FileOffset(0), vec![0; 10]), (FileOffset(u64::MAX), vec![0; 10])];
    let both = file.read_batch(bad).await;
    assert_eq!([&both[0].0, &both[1].0], [&Ok(10), &Ok(0)]);
}

#[tokio::test]
async fn holes_are_zeros() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let tail = pattern(100, 9);
    file.write_at(FileOffset(3 * CHUNK as u64 + 50), tail.clone()).await.expect("written");
    file.write_at(FileOffset(CHUNK as u64), pattern(10, 1)).await.expect("written");
    let mut expected = vec![0; 3 * CHUNK + 150];
    expected[CHUNK..CHUNK + 10].copy_from_slice(&pattern(10, 1));
    expected[3 * CHUNK + 50..].copy_from_slice(&tail);
    assert_eq!(contents(&file, 4 * CHUNK).await, expected);
    file.set_len(ByteLen(4 * CHUNK as u64)).await.expect("longer");
    expected.resize(4 * CHUNK, 0);
    assert_eq!(contents(&file, 5 * CHUNK).await, expected);
}

#[tokio::test]
async fn a_replica_that_lost_a_chunk_is_passed_over_and_when_all_did_it_is_said() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let bytes = pattern(3 * CHUNK, 5);
    let file = filled(&client, "a", &bytes).await;
    let of_two = |targets: &[u32]| {
        let (mut state, id) = (servers.world.state(), chunk(&file, 1));
        targets.iter().for_each(|t| drop(state.chunks.remove(&(TargetId(*t), id))));
    };
    let holders = {
        let state = servers.world.state();
        let keys = state.chunks.keys().filter(|(_, id)| *id == chunk(&file, 1));
        keys.map(|(target, _)| target.get()).collect::<Vec<_>>()
    };
    assert_eq!(holders.len(), 3);
    of_two(&holders[..2]);
    for _ in 0..8 {
        assert_eq!(contents(&file, bytes.len()).await, bytes);
    }
    of_two(&holders[2..]);
    let (read, _) = file.read_at(FileOffset(0), vec![0; bytes.len()]).await;
    let Err(ClientError::Lost { chunk: lost, .. }) = read else { panic!("{read:?}") };
    assert_eq!(lost.index, ChunkIndex(1));
    let batch = vec![(FileOffset(0), vec![0; 9]), (FileOffset(CHUNK as u64), vec![0; 9])];
    let batch = file.read_batch(batch).await;
    assert_eq!(batch[0].0, Ok(9), "the other stands");
    assert!(matches!(batch[1].0, Err(ClientError::Lost { .. })));
}

#[tokio::test]
async fn another_client_s_cut_and_growth_are_seen() {
    let servers = Servers::start().await;
    let (one, two) = (servers.client().await, servers.client().await);
    let bytes = pattern(2 * CHUNK, 5);
    let writer = filled(&one, "a", &bytes).await;
    let reader = two.fs().open("a", &OpenOptions::new().read(true)).await.expect("there");
    writer.write_at(FileOffset(bytes.len() as u64), pattern(77, 1)).await.expect("written");
    assert_eq!(contents(&reader, 3 * CHUNK).await.len(), bytes.len() + 77);
    // The scripted cut forgets the chunks as well.
    writer.set_len(ByteLen(10)).await.expect("cut");
    servers.world.state().chunks.retain(|(_, id), _| id.index == ChunkIndex(0));
    servers.world.state().chunks.values_mut().for_each(|chunk| chunk.truncate(10));
    assert_eq!(contents(&reader, 3 * CHUNK).await, bytes[..10]);
}

#[tokio::test]
async fn lengths_are_reported_before_the_call_returns_and_shared() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    for i in 0..4 {
        let at = FileOffset(i * CHUNK as u64);
        file.write_at(at, pattern(CHUNK, 0)).await.expect("written");
        assert_eq!(servers.world.state().size(file.inode()).get(), (i + 1) * CHUNK as u64);
    }
    assert_eq!(servers.world.state().namespace.reports, 4);
    file.write_at(FileOffset(0), pattern(CHUNK, 1)).await.expect("written");
    assert_eq!(servers.world.state().namespace.reports, 4, "no longer by that");
    let many = (4..36).map(|i| file.write_at(FileOffset(i * CHUNK as u64), pattern(CHUNK, 0)));
    for done in futures_util::future::join_all(many).await {
        done.expect("written");
    }
    assert_eq!(servers.world.state().size(file.inode()).get(), 36 * CHUNK as u64);
    let reports = servers.world.state().namespace.reports - 4;
    assert!(reports < 32, "{reports} reports for 32 writes");
    let dense = servers.world.state().namespace.inodes[&file.inode()].attributes.data;
    file.close().await.expect("closed");
    assert!(servers.world.state().namespace.writers.is_empty());
    assert!(dense.expect("a file").dense_to.get() >= 5 * CHUNK as u64);
}

#[tokio::test]
async fn a_late_report_comes_with_the_sync() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both().report_late(true)).await.expect("created");
    file.write_at(FileOffset(0), pattern(CHUNK, 0)).await.expect("written");
    assert_eq!(servers.world.state().size(file.inode()).get(), 0);
    assert_eq!(contents(&file, 2 * CHUNK).await, pattern(CHUNK, 0), "its own reads know");
    file.write_at(FileOffset(CHUNK as u64), pattern(5, 0)).await.expect("written");
    file.sync().await.expect("synced");
    assert_eq!(servers.world.state().size(file.inode()).get(), CHUNK as u64 + 5);
    let changes = servers.world.calls(Mutate::METHOD);
    file.sync().await.expect("synced");
    assert_eq!(servers.world.calls(Mutate::METHOD), changes, "there is nothing more to say");
}

/// What one knows of the length may be from before the other's cut.
#[tokio::test]
async fn growth_is_reported_though_another_client_cut_the_file_meanwhile() {
    let servers = Servers::start().await;
    let (one, two) = (servers.client().await, servers.client().await);
    let file = filled(&one, "a", &pattern(100, 1)).await;
    let late = one.fs().open("a", &both().report_late(true)).await.expect("there");
    let other = two.fs().open("a", &both()).await.expect("there");
    let size = || servers.world.state().size(file.inode());
    let cut = async || {
        other.set_len(ByteLen::ZERO).await.expect("cut");
        // The scripted cut does not.
        servers.world.state().chunks.clear();
    };
    cut().await;
    file.write_at(FileOffset(0), pattern(10, 2)).await.expect("written");
    assert_eq!(size(), ByteLen(10));
    cut().await;
    late.write_through(FileOffset(0), pattern(11, 2)).await.expect("written");
    assert_eq!(size(), ByteLen(11));
    servers.world.script(UpdateChunk::METHOD, [Fault::Hang]);
    let reserved = servers.world.until("reserved", |state| state.faults_left() == 0);
    let between = async {
        reserved.await;
        cut().await;
        servers.world.gate.add_permits(1);
    };
    let (at, ()) = tokio::join!(late.append(pattern(5, 3)), between);
    assert_eq!((at, size()), (Ok(FileOffset(11)), ByteLen(16)));
}

/// Whether bytes came before a cut can be told only by what their writer had heard when it began.
#[tokio::test]
async fn a_report_says_which_cut_was_known_before_the_bytes_were_sent() {
    let servers = Servers::start().await;
    let (one, two) = (servers.client().await, servers.client().await);
    let file = one.fs().open("a", &both().report_late(true)).await.expect("created");
    let other = two.fs().open("a", &both()).await.expect("there");
    let cut = async || other.set_len(ByteLen::ZERO).await.expect("cut");
    let write = async |at, len| {
        file.write_at(FileOffset(at), pattern(len, 1)).await.expect("written");
    };
    let said = async || {
        file.sync().await.expect("synced");
        let reported = std::mem::take(&mut servers.world.state().namespace.reported);
        let since = reported.iter().map(|range| range.since.map(Sequence::get));
        since.collect::<Vec<_>>()
    };
    write(0, 10).await;
    cut().await;
    assert_eq!(said().await, [None], "what it knows now it did not know then");
    servers.world.script(UpdateChunk::METHOD, [Fault::Hang]);
    let sent = servers.world.until("sent", |state| state.faults_left() == 0);
    let between = async {
        sent.await;
        cut().await;
        file.stat().await.expect("there");
        servers.world.gate.add_permits(1);
    };
    tokio::join!(write(20, 5), between);
    write(0, 10).await;
    assert_eq!(said().await, [Some(2), Some(1)]);
    file.set_len(ByteLen(3)).await.expect("cut");
    write(3, 5).await;
    assert_eq!(said().await, [Some(3)], "its own cut it knows");
}

#[tokio::test]
async fn appends_stand_behind_each_other() {
    let servers = Servers::start().await;
    let (one, two) = (servers.client().await, servers.client().await);
    let first = one.fs().open("log", &both()).await.expect("created");
    let second = two.fs().open("log", &both()).await.expect("there");
    let mut ends = Vec::new();
    for i in 0..10_u8 {
        let file = if i % 2 == 0 { &first } else { &second };
        let at = file.append(Bytes::from(vec![i; 10_000])).await.expect("appended");
        assert_eq!(at, FileOffset(u64::from(i) * 10_000));
        ends.push(i);
    }
    assert_eq!(first.append(Bytes::new()).await, Ok(FileOffset(100_000)));
    let all: Vec<u8> = ends.iter().flat_map(|i| [*i; 10_000]).collect();
    assert_eq!(contents(&second, 200_000).await, all);
}

#[tokio::test]
async fn a_read_within_the_known_length_asks_nothing_else() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(CHUNK, 0)).await;
    let (asked, written) =
        (servers.world.calls(Ask::METHOD), servers.world.calls(UpdateChunk::METHOD));
    assert_eq!(contents(&file, CHUNK).await.len(), CHUNK);
    assert_eq!(servers.world.calls(Ask::METHOD), asked);
    assert_eq!(written, 1);
}
