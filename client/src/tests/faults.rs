//! Errors that are met on the way: each is got over without a wrong byte, and each change is made once.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use emberfs_layout::{ChainId, ChainVersion, ChunkId, ChunkIndex, FileOffset, TargetId};
use emberfs_wire::chunk::{ReadChunks, UpdateChunk};
use emberfs_wire::cluster::{GetRouting, TellRouting};
use emberfs_wire::meta::Mutate;
use emberfs_wire::{Request, WireError};
use tokio::time::timeout;

use super::server::Servers;
use super::world::{CHAINS, Fault, layout};
use super::{CHUNK, both, contents, filled, pattern};
use crate::{Client, ClientError, ClientOptions, FsError, WaitingFor};

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

/// Where the first chunk of a file is that is on the first chain.
pub(super) fn on_first_chain(client: &Client) -> FileOffset {
    let stripe = client.routing().stripe(layout()).expect("known");
    let place = (0..2).find(|index| stripe.chain_of(ChunkIndex(*index)) == ChainId(1));
    FileOffset(u64::from(place.expect("on either")) * CHUNK as u64)
}

/// Its connection stands, and it would answer some time; the routing says that nobody need wait for that.
#[tokio::test]
async fn who_hangs_is_left_as_soon_as_the_routing_says_so() {
    // Far below what a call waits where the routing stays as it is.
    const WITHIN: Duration = Duration::from_secs(6);
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(2 * CHUNK, 1)).await;
    let (at, bytes, world) = (on_first_chain(&client), pattern(CHUNK, 2), &servers.world);
    world.script(UpdateChunk::METHOD, [Fault::Hang]);
    let hangs = world.until("it hangs", |state| state.faults_left() == 0);
    let (head, others) = CHAINS[0].split_first().expect("three");
    let change = async {
        hangs.await;
        world.state().serve_only(others);
    };
    let write = timeout(WITHIN, file.write_at(at, bytes.clone()));
    let (written, ()) = tokio::join!(write, change);
    written.expect("in time").expect("written");
    let has = |target: &u32| {
        let state = world.state();
        state.chunks.iter().any(|((of, _), is)| *of == TargetId(*target) && *is == bytes)
    };
    assert!(others.iter().all(has) && !has(head), "the others have it");

    world.script(ReadChunks::METHOD, [Fault::Hang]);
    let hangs = world.until("it hangs", |state| state.faults_left() == 0);
    let change = async {
        hangs.await;
        world.state().serve_only(others);
    };
    let read = timeout(WITHIN, file.read_at(at, vec![0; CHUNK]));
    let (read, ()) = tokio::join!(read, change);
    let (read, buf) = read.expect("in time");
    assert_eq!((read, &buf[..]), (Ok(CHUNK), &bytes[..]));
}

/// Those that wonder together ask together.
#[tokio::test]
async fn calls_that_are_slow_ask_for_routing_now_and_then() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(2 * CHUNK, 1)).await;
    let (at, world) = (on_first_chain(&client), &servers.world);
    let asked = world.calls(GetRouting::METHOD);
    world.script(UpdateChunk::METHOD, vec![Fault::Hang; 20]);
    let writes = (0..20).map(|i| file.write_at(FileOffset(at.get() + i * 100), pattern(9, 3)));
    let looked =
        world.until("they look twice", |state| state.calls[&GetRouting::METHOD] >= asked + 2);
    let release = async {
        looked.await;
        world.gate.add_permits(20);
    };
    let (written, ()) = tokio::join!(futures_util::future::join_all(writes), release);
    written.into_iter().for_each(|written| written.expect("written"));
    let asked = world.calls(GetRouting::METHOD) - asked;
    assert!(asked < 20, "{asked} questions of twenty calls");
}

/// The next read should know better whom to ask.
#[tokio::test]
async fn a_read_that_goes_elsewhere_asks_for_routing_as_well() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(CHUNK, 1)).await;
    let asked = servers.world.calls(GetRouting::METHOD);
    servers.world.script(ReadChunks::METHOD, [Fault::CloseBefore]);
    assert_eq!(contents(&file, CHUNK).await, pattern(CHUNK, 1));
    let world = &servers.world;
    world.until("asked", |state| state.calls[&GetRouting::METHOD] > asked).await;
}

#[tokio::test]
async fn new_routing_is_learned_from_the_leader_unasked() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    // The session's own connection stands then.
    client.fs().mkdir("d").await.expect("made");
    let (known, asked) = (client.routing().version(), servers.world.calls(GetRouting::METHOD));
    let (head, others) = CHAINS[0].split_first().expect("three");
    servers.world.state().serve_only(others);
    let delta = servers.world.state().routing.clone();
    let peer = servers.world.state().clients[&client.session()].clone();
    let tell = async |since| {
        let news = TellRouting { since, delta: delta.clone() };
        let reply = peer.call(&news, Bytes::new(), &Default::default()).await;
        reply.expect("an answer").message.version
    };
    assert_eq!(tell(delta.version).await, known, "what lies between is not known");
    assert_eq!(tell(known).await, delta.version);
    let serving = client.routing().head(ChainId(1)).expect("one serves").target;
    assert_ne!(serving, TargetId(*head));
    assert_eq!(servers.world.calls(GetRouting::METHOD), asked);
}
