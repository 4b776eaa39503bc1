//! Errors that are met on the way: each is got over without a wrong byte, and each change is made once.

use std::collections::BTreeSet;
use std::time::Duration;

use emberfs_layout::{ChainId, ChainVersion, ChunkId, FileOffset, TargetId};
use emberfs_wire::chunk::{ReadChunks, UpdateChunk};
use emberfs_wire::cluster::GetRouting;
use emberfs_wire::meta::Mutate;
use emberfs_wire::{Request, WireError};

use super::server::Servers;
use super::world::{CHAINS, Fault};
use super::{CHUNK, both, chunk, contents, filled, pattern};
use crate::{ClientError, ClientOptions, FsError, WaitingFor};

fn every_fault() -> Vec<Fault> {
    let (asked, known) = (ChainVersion(1), ChainVersion(2));
    vec![
        Fault::Fail(WireError::RefreshRouting { chain: ChainId(1), asked, known }),
        Fault::Fail(WireError::Retry { after_ms: 1, text: "busy".to_owned() }),
        Fault::Fail(WireError::Wait { text: "the tail".to_owned() }),
        Fault::Fail(WireError::Corrupt { target: TargetId(1), chunk: ChunkId::default() }),
        Fault::CloseBefore,
        Fault::CloseAfter,
    ]
}

#[tokio::test]
async fn a_write_is_applied_once_whatever_happens_to_its_requests() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    for (i, fault) in every_fault().into_iter().enumerate() {
        let bytes = pattern(2 * CHUNK, 1);
        let before = servers.world.state().applied.len();
        servers.world.script(UpdateChunk::METHOD, [fault.clone(), fault.clone(), fault.clone()]);
        let file = filled(&client, &format!("f{i}"), &bytes).await;
        assert_eq!(servers.world.faults_left(), 0, "{fault:?} was met");
        let applied = servers.world.state().applied[before..].to_vec();
        let once: BTreeSet<_> = applied.iter().collect();
        assert_eq!((applied.len(), once.len()), (2, 2), "{fault:?}");
        assert_eq!(contents(&file, 3 * CHUNK).await, bytes, "{fault:?}");
    }
}

#[tokio::test]
async fn a_read_gets_over_every_fault() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let bytes = pattern(4 * CHUNK, 1);
    let file = filled(&client, "a", &bytes).await;
    for fault in every_fault().into_iter().chain([Fault::Damage]) {
        servers.world.script(ReadChunks::METHOD, [fault.clone(), fault.clone(), fault.clone()]);
        assert_eq!(contents(&file, bytes.len()).await, bytes, "{fault:?}");
        assert_eq!(servers.world.faults_left(), 0, "{fault:?} was met");
    }
}

#[tokio::test]
async fn a_name_is_made_once_whatever_happens_to_its_requests() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    for (i, fault) in every_fault().into_iter().enumerate() {
        let before = servers.world.state().namespace.changes;
        servers.world.script(Mutate::METHOD, [fault.clone(), fault.clone()]);
        client.fs().mkdir(format!("d{i}")).await.expect("made, not said to be there");
        assert_eq!(servers.world.state().namespace.changes - before, 1, "{fault:?}");
        assert_eq!(servers.world.faults_left(), 0, "{fault:?} was met");
    }
}

#[tokio::test]
async fn a_new_head_takes_over() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let bytes = pattern(4 * CHUNK, 1);
    let file = filled(&client, "a", &bytes).await;
    servers.world.state().serve_only(&CHAINS[0][1..]);
    let asked = servers.world.calls(GetRouting::METHOD);
    let bytes = pattern(4 * CHUNK, 2);
    file.write_at(FileOffset(0), bytes.clone()).await.expect("written");
    assert_eq!(contents(&file, bytes.len()).await, bytes);
    assert_eq!(servers.world.calls(GetRouting::METHOD) - asked, 1, "all waited for one answer");
}

#[tokio::test]
async fn a_dead_metadata_server_is_passed_over() {
    let mut servers = Servers::start().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = gone.local_addr().expect("bound").to_string();
    drop(gone);
    servers.address.meta.insert(0, address.parse().expect("an address"));
    let client = servers.client().await;
    let fs = client.fs();
    let many = (0..20).map(|i| fs.mkdir(format!("d{i}")));
    for made in futures_util::future::join_all(many).await {
        made.expect("made, three at a time");
    }
}

#[tokio::test]
async fn a_refusal_is_passed_on() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    servers.world.script(UpdateChunk::METHOD, [Fault::Fail(FsError::NoSpace.into())]);
    let full = file.write_at(FileOffset(0), pattern(10, 0)).await;
    assert_eq!(full, Err(FsError::NoSpace.into()));
    file.write_at(FileOffset(0), pattern(10, 0)).await.expect("there is room again");
    servers.world.script(UpdateChunk::METHOD, [Fault::Fail(WireError::bug("odd"))]);
    let odd = file.write_at(FileOffset(0), pattern(10, 0)).await;
    assert!(matches!(odd, Err(ClientError::Fault { .. })), "{odd:?}");
}

#[tokio::test]
async fn a_deadline_says_what_was_waited_for() {
    let servers = Servers::start().await;
    let deadline = Some(Duration::from_millis(300));
    let client = servers.client_with(ClientOptions { deadline, ..Servers::options() }).await;
    let file = client.fs().open("a", &both()).await.expect("created");
    servers.world.state().serve_only(&[]);
    let written = file.write_at(FileOffset(0), pattern(2 * CHUNK, 0)).await;
    let Err(ClientError::Deadline { what }) = written else { panic!("{written:?}") };
    assert!(matches!(&what, WaitingFor::Chain { chain: ChainId(1), .. }), "{what}");
    servers.world.script(Mutate::METHOD, [Fault::Hang]);
    let made = client.fs().mkdir("d").await;
    let Err(ClientError::Deadline { what }) = made else { panic!("{made:?}") };
    assert!(matches!(&what, WaitingFor::MetadataGroup { .. }), "{what}");
    servers.world.gate.add_permits(1);
    let world = &servers.world;
    world.until("carried through", |state| state.namespace.changes == 2).await;
}

/// A refusal is not the last word on a write: a full disk keeps it under way, and an earlier copy may be on
/// its way still.
#[tokio::test]
async fn a_refused_write_never_comes_over_a_later_one() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(2 * CHUNK, 0)).await;
    servers.world.script(UpdateChunk::METHOD, [Fault::Hang, Fault::Fail(FsError::NoSpace.into())]);
    let before = servers.world.calls(UpdateChunk::METHOD);
    let hangs =
        servers.world.until("it hangs", |state| state.calls[&UpdateChunk::METHOD] == before + 1);
    let mut slow = Box::pin(file.write_at(FileOffset(0), pattern(CHUNK, 1)));
    tokio::select! { _ = &mut slow => panic!("it hangs"), () = hangs => {} }
    let second = FileOffset(CHUNK as u64);
    tokio::select! {
        _ = &mut slow => panic!("it hangs"),
        full = file.write_at(second, pattern(CHUNK, 2)) => assert_eq!(full, Err(FsError::NoSpace.into())),
    }
    let mut later = Box::pin(file.write_at(second, pattern(CHUNK, 3)));
    tokio::select! {
        _ = &mut slow => panic!("it hangs"),
        _ = &mut later => panic!("the refused one may still come"),
        done = file.write_at(FileOffset(2 * CHUNK as u64), pattern(CHUNK, 4)) => {
            done.expect("another chunk is free");
        }
    }
    servers.world.gate.add_permits(1);
    slow.await.expect("written");
    later.await.expect("written");
}

#[tokio::test]
async fn a_write_given_up_never_comes_over_a_later_one() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(2 * CHUNK, 0)).await;
    // A write to each chunk hangs; that to the second is given up.
    servers.world.script(UpdateChunk::METHOD, [Fault::Hang, Fault::Hang]);
    let before = servers.world.calls(UpdateChunk::METHOD);
    let slow = file.write_at(FileOffset(0), pattern(CHUNK, 1));
    let lost = file.write_at(FileOffset(CHUNK as u64), pattern(CHUNK, 2));
    let both_hang =
        servers.world.until("both hang", |state| state.calls[&UpdateChunk::METHOD] == before + 2);
    let mut slow = Box::pin(slow);
    let mut lost = Box::pin(lost);
    tokio::select! {
        biased; // the slow one has the lower number, which holds the mark
        _ = &mut slow => panic!("it hangs"),
        _ = &mut lost => panic!("it hangs"),
        () = both_hang => {}
    }
    drop(lost);
    let later = file.write_at(FileOffset(CHUNK as u64), pattern(CHUNK, 3));
    let mut later = Box::pin(later);
    let other = file.write_at(FileOffset(2 * CHUNK as u64), pattern(CHUNK, 4));
    tokio::select! {
        _ = &mut slow => panic!("it hangs"),
        _ = &mut later => panic!("an earlier write may still come"),
        done = other => done.expect("another chunk is free"),
    }
    servers.world.gate.add_permits(2);
    slow.await.expect("written");
    later.await.expect("written");
    let (read, buf) = file.read_at(FileOffset(CHUNK as u64), vec![0; CHUNK]).await;
    assert_eq!((read, &buf[..]), (Ok(CHUNK), &pattern(CHUNK, 3)[..]));
    let state = servers.world.state();
    let last = state.applied.iter().rfind(|(_, id)| *id == chunk(&file, 1));
    let highest = state.applied.iter().map(|(tag, _)| tag.sequence).max();
    assert_eq!(last.map(|(tag, _)| tag.sequence), highest);
}
