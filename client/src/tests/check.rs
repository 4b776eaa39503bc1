//! Checking files.

use std::time::Duration;

use emberfs_buffer::ChunkDigest;
use emberfs_layout::{ByteLen, ChunkIndex, FileOffset, TargetId};
use emberfs_wire::chunk::ReadChunks;
use emberfs_wire::cluster::PublicState;
use emberfs_wire::meta::Ask;
use emberfs_wire::{Request, WireError};

use super::server::Servers;
use super::world::{CHAINS, Fault};
use super::{CHUNK, both, chunk, filled, pattern};
use crate::{ChunkCopy, ChunkFault, Client, ClientError, File, FileCheck, FsError};

async fn checked(client: &Client, file: &File) -> FileCheck {
    let attributes = file.stat().await.expect("attributes");
    let done = std::cell::Cell::new(0);
    let check = client.check();
    let told = |bytes: ByteLen| done.set(done.get() + bytes.get());
    let mut found = FileCheck::default();
    check.file(&attributes, &mut found, told).await.expect("checked");
    assert_eq!(done.get(), attributes.size.get());
    assert_eq!(found.chunks, attributes.size.get().div_ceil(CHUNK as u64));
    found
}

/// The targets that hold a chunk, head first.
fn members(servers: &Servers, file: &File, index: u32) -> [TargetId; 3] {
    let state = servers.world.state();
    let id = chunk(file, index);
    let chain = CHAINS.iter().find(|of| state.chunks.contains_key(&(TargetId(of[0]), id)));
    chain.expect("it was written").map(TargetId)
}

#[tokio::test]
async fn each_replica_is_read_and_what_differs_is_named() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(4 * CHUNK + 9, 1)).await;
    let clean = checked(&client, &file).await;
    assert_eq!((clean.found, clean.worst), (0, None));
    assert_eq!(clean.read, ByteLen(3 * (4 * CHUNK as u64 + 9)));

    let [of_1, of_3] = [1, 3].map(|index| members(&servers, &file, index));
    {
        let mut state = servers.world.state();
        let bytes = state.chunks.get_mut(&(of_1[1], chunk(&file, 1))).expect("written");
        bytes[77] ^= 1;
        state.chunks.remove(&(of_3[2], chunk(&file, 3)));
    }
    let found = checked(&client, &file).await;
    assert_eq!((found.found, found.worst), (2, Some(ChunkFault::Damaged)));
    let of = |place: usize, odd: bool| {
        let members = found.first[place].members.iter().filter(move |member| member.odd == odd);
        members.map(|member| (member.target, member.copy.clone())).collect::<Vec<_>>()
    };
    assert_eq!(found.first[0].index, ChunkIndex(1));
    let [(target, ChunkCopy::Whole { digest, .. })] = of(0, true)[..] else { panic!("{found:?}") };
    assert_eq!(target, of_1[1]);
    let right = |copy: &ChunkCopy| match copy {
        ChunkCopy::Whole { digest, .. } => *digest,
        other => panic!("{other:?}"),
    };
    let others: Vec<ChunkDigest> = of(0, false).iter().map(|(_, copy)| right(copy)).collect();
    assert!(others[0] == others[1] && others[0] != digest);
    assert_eq!(found.first[1].index, ChunkIndex(3));
    assert_eq!(of(1, true), [(of_3[2], ChunkCopy::Absent)]);
}

#[tokio::test]
async fn what_every_replica_lacks_is_lost_below_the_dense_part_alone() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(CHUNK, 1)).await;
    let far = FileOffset(3 * CHUNK as u64);
    file.write_at(far, pattern(10, 1)).await.expect("written, a gap before it");
    assert_eq!(checked(&client, &file).await.found, 0, "a hole is no loss");
    servers.world.state().chunks.retain(|(_, id), _| *id != chunk(&file, 0));
    let found = checked(&client, &file).await;
    assert_eq!((found.found, found.worst), (1, Some(ChunkFault::Lost)));
}

#[tokio::test]
async fn a_copy_that_is_found_whole_at_the_next_look_is_whole() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(CHUNK, 1)).await;
    let target = members(&servers, &file, 0)[0];
    let corrupt = Fault::Fail(WireError::Corrupt { target, chunk: chunk(&file, 0) });
    servers.world.script(ReadChunks::METHOD, [corrupt.clone()]);
    assert_eq!(checked(&client, &file).await.found, 0);
    // Three answers a look, and one more: what the first and the second say is so.
    servers.world.script(ReadChunks::METHOD, vec![corrupt; 6]);
    let found = checked(&client, &file).await;
    assert_eq!((found.worst, servers.world.faults_left()), (Some(ChunkFault::Lost), 0));
}

#[tokio::test]
async fn an_answer_that_fails_is_asked_for_again() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(CHUNK, 1)).await;
    let again = WireError::Retry { after_ms: 1, text: "busy".into() };
    let faults = [Fault::Fail(again), Fault::CloseBefore, Fault::Damage];
    servers.world.script(ReadChunks::METHOD, faults);
    assert_eq!(checked(&client, &file).await.found, 0);
    assert_eq!(servers.world.faults_left(), 0);
}

#[tokio::test]
async fn members_that_do_not_serve_are_said_and_a_change_of_the_chain_is_followed() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(2 * CHUNK, 1)).await;
    servers.world.state().serve_only(&CHAINS[0][1..]);
    let found = checked(&client, &file).await;
    assert_eq!((found.found, found.worst), (1, Some(ChunkFault::Unread)));
    let state = PublicState::Offline;
    let away = found.first[0].members.iter().find(|m| m.target == TargetId(CHAINS[0][0]));
    let away = away.expect("still a member");
    assert_eq!((&away.copy, away.odd), (&ChunkCopy::NotServing { state }, false));
}

/// Every member says so, for longer than one that is silent is waited for.
#[tokio::test]
async fn a_busy_chunk_is_changing_and_its_members_are_not_silent() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(CHUNK, 1)).await;
    let again = WireError::Retry { after_ms: 500, text: "changed".into() };
    servers.world.script(ReadChunks::METHOD, vec![Fault::Fail(again); 1000]);
    let found = checked(&client, &file).await;
    assert_eq!((found.found, found.worst), (1, Some(ChunkFault::Unsettled)));
    let last = "try again: changed".to_owned();
    assert_eq!(found.first[0].members[0].copy, ChunkCopy::Busy { last });
}

#[tokio::test]
async fn what_was_found_stays_found_when_the_rest_cannot_be_looked_at() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    // More than are looked at at a time.
    let file = filled(&client, "a", &pattern(20 * CHUNK, 1)).await;
    let attributes = file.stat().await.expect("attributes");
    for index in [0, 19] {
        let target = members(&servers, &file, index)[1];
        servers.world.state().chunks.remove(&(target, chunk(&file, index)));
    }
    let refused = WireError::from(FsError::Io);
    let (mut found, done) = (FileCheck::default(), std::cell::Cell::new(0));
    // What the file has of a chunk is asked only where there is something to say: after the first eight, which
    // are looked at together, of the last.
    let told = |_: ByteLen| {
        done.set(done.get() + 1);
        if done.get() == 8 {
            servers.world.script(Ask::METHOD, [Fault::Fail(refused.clone())]);
        }
    };
    let failed = client.check().file(&attributes, &mut found, told).await;
    assert_eq!(failed, Err(ClientError::Fs(FsError::Io)));
    assert_eq!((found.found, found.worst), (1, Some(ChunkFault::Damaged)));
    assert_eq!((found.first[0].index, found.chunks), (ChunkIndex(0), 19));
}

#[tokio::test]
async fn a_directory_is_not_checked() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let made = client.fs().mkdir("d").await.expect("made");
    let refused = client.check().file(&made, &mut FileCheck::default(), |_| {}).await;
    assert_eq!(refused, Err(ClientError::Fs(FsError::InvalidArgument)));
}

/// Replicas that are read one after the other differ by a write in between.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_meanwhile_is_no_difference() {
    let servers = Servers::start().await;
    let (client, writer) = (servers.client().await, servers.client().await);
    let file = filled(&client, "a", &pattern(2 * CHUNK, 0)).await;
    let own = writer.fs().open("a", &both()).await.expect("there");
    let writes = async {
        let mut often = tokio::time::interval(Duration::from_millis(1));
        for salt in (0..=u8::MAX).cycle() {
            often.tick().await;
            own.write_at(FileOffset(0), pattern(2 * CHUNK, salt)).await.expect("written");
        }
    };
    let checks = async {
        for _ in 0..50 {
            let found = checked(&client, &file).await;
            assert!(found.worst <= Some(ChunkFault::Unsettled), "{found:?}");
        }
    };
    tokio::select! { () = checks => {}, () = writes => {} }
}
