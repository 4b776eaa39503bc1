//! Writes and reads through chains of one, two and three.

use bytes::Bytes;
use emberfs_layout::{ChunkIndex, ChunkOffset};
use emberfs_wire::chunk::{ChunkChange, ChunkEnd, ChunkRead, ReadOutcome};
use emberfs_wire::{PayloadSums, WireError};

use crate::chain::{Chain, assert_all, pattern};
use crate::client::{SIZE, chunk};

async fn write_read_cut_and_remove(len: usize) {
    let chain = Chain::of(len);
    let clients = chain.clients(1).await;
    let (head, at) = &clients[0];
    assert_all(&clients, 1, None).await;

    let mut model = pattern(300_000, 1);
    let reply = head.write(*at, 1, chunk(1, 0), 0, &model).await.expect("written");
    assert_eq!(reply.chunk_len, ChunkOffset(300_000));
    assert_all(&clients, 1, Some(&model)).await;

    // Over the middle, unaligned, and behind a gap.
    let middle = pattern(5001, 2);
    head.write(*at, 2, chunk(1, 0), 4095, &middle).await.expect("written");
    model[4095..4095 + 5001].copy_from_slice(&middle);
    let tail = pattern(10, 3);
    head.write(*at, 3, chunk(1, 0), 400_001, &tail).await.expect("written");
    model.resize(400_001, 0);
    model.extend(&tail);
    assert_all(&clients, 1, Some(&model)).await;

    let cut = ChunkChange::Cut(ChunkOffset(4097));
    let reply = head.change(*at, 4, chunk(1, 0), cut).await.expect("cut");
    assert_eq!(reply.chunk_len, ChunkOffset(4097));
    model.truncate(4097);
    assert_all(&clients, 1, Some(&model)).await;
    head.write(*at, 5, chunk(1, 0), 5000, b"x").await.expect("written");
    model.resize(5000, 0);
    model.push(b'x');
    assert_all(&clients, 1, Some(&model)).await;

    head.write(*at, 6, chunk(1, 7), 0, &pattern(77, 4)).await.expect("written");
    for (client, replica) in &clients {
        let end = ChunkEnd { index: ChunkIndex(7), len: ChunkOffset(77) };
        assert_eq!(client.last(*replica, 1).await, Some(end));
        assert_eq!(client.last(*replica, 2).await, None);
    }
    head.change(*at, 7, chunk(1, 0), ChunkChange::Remove).await.expect("removed");
    assert_all(&clients, 1, None).await;
}

#[tokio::test]
async fn a_chain_of_one() {
    write_read_cut_and_remove(1).await;
}

#[tokio::test]
async fn a_chain_of_two() {
    write_read_cut_and_remove(2).await;
}

#[tokio::test]
async fn a_chain_of_three() {
    write_read_cut_and_remove(3).await;
}

#[tokio::test]
async fn a_batch_of_reads_is_answered_in_order() {
    let chain = Chain::of(1);
    let clients = chain.clients(1).await;
    let (client, at) = &clients[0];
    for index in 0..4 {
        let bytes = pattern(10_000, index);
        let sequence = u64::from(index) + 1;
        client.write(*at, sequence, chunk(1, index), 0, &bytes).await.expect("written");
    }
    let read = |index, start, len| {
        let (start, len) = (ChunkOffset(start), ChunkOffset(len));
        ChunkRead { replica: *at, chunk: chunk(1, index), start, len }
    };
    let reads = vec![read(3, 0, 100), read(9, 0, 1), read(0, 9_990, 100), read(1, 20_000, 5)];
    let found = client.read_all(reads).await.expect("an answer");
    assert_eq!(found[0].1, pattern(100, 3));
    assert_eq!(found[1].0, ReadOutcome::Absent);
    assert_eq!(found[2].1, pattern(10_000, 0)[9_990..]);
    assert!(matches!(&found[3], (ReadOutcome::Found { .. }, none) if none.is_empty()));
    let too_much = vec![read(0, 0, SIZE.bytes()); 65];
    assert!(matches!(client.read_all(too_much).await, Err(WireError::Bug { .. })));
}

/// A retry, also one after a later change and after a restart of all, answers as the first did, and does
/// nothing.
#[tokio::test]
async fn a_retry_answers_the_same() {
    let mut chain = Chain::of(3);
    let clients = chain.clients(1).await;
    let (head, at) = &clients[0];
    let first = head.write(*at, 1, chunk(1, 0), 0, b"first").await.expect("written");
    head.write(*at, 2, chunk(1, 0), 0, b"second, longer").await.expect("written");
    let again = head.write(*at, 1, chunk(1, 0), 0, b"first").await.expect("answered");
    assert_eq!(again, first);
    assert_all(&clients, 1, Some(b"second, longer")).await;

    chain.restart();
    let clients = chain.clients(1).await;
    let (head, at) = &clients[0];
    let again = head.write(*at, 1, chunk(1, 0), 0, b"first").await.expect("answered");
    assert_eq!(again, first);
    assert_all(&clients, 1, Some(b"second, longer")).await;
}

#[tokio::test]
async fn a_damaged_payload_changes_nothing() {
    let chain = Chain::of(1);
    let clients = chain.clients(1).await;
    let (client, at) = &clients[0];
    client.write(*at, 1, chunk(1, 0), 0, b"good").await.expect("written");
    let other = emberfs_buffer::Payload::compute(
        Bytes::from_static(b"evil"),
        ChunkOffset(0),
        SIZE.block_size(),
    );
    let sums = PayloadSums::of(&other.expect("within a chunk"));
    let update = client.update(*at, 2, chunk(1, 0), ChunkChange::Write(sums.clone()));
    let damaged = client.ask(&update, Bytes::from_static(b"evyl")).await;
    let error = damaged.expect_err("other bytes than the sums say");
    assert!(error.is_transient() && error.to_string().contains("damaged"), "{error}");
    let short = client.ask(&update, Bytes::from_static(b"evi")).await;
    assert!(matches!(short, Err(WireError::Bug { .. })), "{short:?}");
    let remove = client.update(*at, 3, chunk(1, 0), ChunkChange::Remove);
    let surplus = client.ask(&remove, Bytes::from_static(b"x")).await;
    assert!(matches!(surplus, Err(WireError::Bug { .. })), "{surplus:?}");
    assert_all(&clients, 1, Some(b"good")).await;
}
