//! Writes that somebody gave up, or that were refused: what was sent is settled, and counts.

use std::collections::BTreeSet;
use std::time::Duration;

use emberfs_layout::{ByteLen, ChunkIndex, DataId, FileOffset, InodeId};
use emberfs_wire::chunk::UpdateChunk;
use emberfs_wire::cluster::GetRouting;
use emberfs_wire::meta::{AttributeChange, Mutate, Place};
use emberfs_wire::{Request, WireError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use tokio::runtime::Builder;

use super::server::Servers;
use super::world::{Fault, State};
use super::{CHUNK, both, chunk, contents, filled, pattern};
use crate::{
    Bytes, Client, ClientError, ClientOptions, Credentials, File, FsError, OpenOptions, WaitingFor,
};

type Write<'a> = BoxFuture<'a, Result<(), ClientError>>;

fn at(chunk: usize) -> FileOffset {
    FileOffset((chunk * CHUNK) as u64)
}

/// A client whose calls do not wait for long.
async fn impatient(servers: &Servers) -> Client {
    let deadline = Some(Duration::from_millis(300));
    servers.client_with(ClientOptions { deadline, ..Servers::options() }).await
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

fn dense_to(state: &State, inode: InodeId) -> u64 {
    state.namespace.inodes[&inode].attributes.data.expect("a file").dense_to.get()
}

#[tokio::test]
async fn a_dropped_write_goes_on_and_the_close_waits_for_it() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let inode = file.inode();
    drop(hanging(&servers, &file, at(1), pattern(2 * CHUNK, 1), 2).await);
    let other = client.fs().open("b", &both()).await.expect("created");
    let mut closing = Box::pin(file.close());
    waits(&other, &mut closing).await;
    let writers = servers.world.state().namespace.writers.len();
    assert_eq!(writers, 2, "the metadata group knows that the length is in doubt");
    servers.world.gate.add_permits(2);
    closing.await.expect("closed");
    let state = servers.world.state();
    assert_eq!((state.size(inode), state.namespace.writers.len()), (ByteLen(at(3).get()), 1));
    assert_eq!(end_held(&state, inode), at(3).get());
}

#[tokio::test]
async fn what_was_never_sent_ends_with_its_caller() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(10, 0)).await;
    let before = servers.world.calls(UpdateChunk::METHOD);
    // Eight of a call are under way together.
    let (first, rest) = (8, 4);
    drop(hanging(&servers, &file, at(0), pattern((first + rest) * CHUNK, 1), first).await);
    servers.world.gate.add_permits(first);
    file.sync().await.expect("synced");
    assert_eq!(servers.world.calls(UpdateChunk::METHOD) - before, first);
    assert_eq!(servers.world.state().size(file.inode()), ByteLen(at(first).get()));
    // Nobody is there to send it to.
    servers.world.state().serve_only(&[]);
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("there");
    let mut nowhere = Box::pin(file.write_at(at(0), pattern(2 * CHUNK, 2)));
    waits(&file, &mut nowhere).await;
    drop(nowhere);
    file.close().await.expect("nothing is waited for");
}

#[tokio::test]
async fn a_write_out_of_time_goes_on_and_is_waited_for_as_long_as_the_caller_likes() {
    let servers = Servers::start().await;
    let client = impatient(&servers).await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let inode = file.inode();
    servers.world.script(UpdateChunk::METHOD, [Fault::Hang]);
    let late = file.write_at(at(0), pattern(CHUNK, 1)).await;
    let Err(ClientError::Deadline { what: WaitingFor::Chain { last, .. } }) = late else {
        panic!("{late:?}")
    };
    assert!(last.contains("the reply of"), "{last}");
    let waiting = Err(ClientError::Deadline { what: WaitingFor::EarlierWrites });
    assert_eq!(file.sync().await, waiting);
    let chunk = chunk(&file, 0);
    let again = file.write_at(at(0), pattern(CHUNK, 2)).await;
    assert_eq!(again, Err(ClientError::Deadline { what: WaitingFor::EarlierWrite { chunk } }));
    // It is closed in the background, some time.
    assert_eq!(file.close().await, waiting);
    assert_eq!(servers.world.state().namespace.writers.len(), 1);
    servers.world.gate.add_permits(1);
    servers.world.until("closed", |state| state.namespace.writers.is_empty()).await;
    let state = servers.world.state();
    assert_eq!((state.size(inode), end_held(&state, inode)), (ByteLen(at(1).get()), at(1).get()));
}

/// Another part of it was done meanwhile.
#[tokio::test]
async fn a_write_says_what_its_last_part_waits_for() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    assert_eq!(file.waiting_for(), None);
    let mut write =
        meeting(&servers, &file, (at(0), pattern(2 * CHUNK, 1)), vec![Fault::Hang]).await;
    let done = servers.world.until("one is done", |state| state.applied.len() == 1);
    tokio::select! { _ = &mut write => panic!("the other hangs"), () = done => {} }
    waits(&file, &mut write).await;
    let waiting = file.waiting_for();
    assert!(matches!(waiting, Some(WaitingFor::Chain { .. })), "{waiting:?}");
    servers.world.gate.add_permits(1);
    write.await.expect("written");
    assert_eq!(file.waiting_for(), None);
}

#[tokio::test]
async fn a_write_behind_outlives_every_deadline_and_is_done_once() {
    let servers = Servers::start().await;
    let client = impatient(&servers).await;
    let file = client.fs().open("a", &both()).await.expect("created");
    servers.world.script(UpdateChunk::METHOD, [Fault::Hang, Fault::Hang]);
    let mut behind = file.write_behind(at(0), pattern(CHUNK, 1)).boxed();
    tokio::select! {
        biased;
        _ = &mut behind => panic!("it hangs"),
        late = file.write_at(at(1), pattern(CHUNK, 1)) => {
            assert!(matches!(late, Err(ClientError::Deadline { .. })), "{late:?}");
        }
    }
    assert_eq!(behind.as_mut().now_or_never(), None, "it has been under way for longer");
    servers.world.gate.add_permits(2);
    behind.await.expect("written");
    file.sync().await.expect("synced");
    let state = servers.world.state();
    assert_eq!((state.applied.len(), state.size(file.inode())), (2, ByteLen(at(2).get())));
}

/// Who has others wait hears what became of a change, however late.
#[tokio::test]
async fn who_is_patient_outwaits_every_deadline() {
    let servers = Servers::start().await;
    let client = impatient(&servers).await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let (place, change) = (Place::inode(file.inode()), AttributeChange::default());
    let meta = client.meta(Credentials::root());
    let patient = meta.patient();
    servers.world.script(Mutate::METHOD, [Fault::Hang, Fault::Hang, Fault::Hang]);
    let cut = OpenOptions::new().write(true).truncate(true);
    let mut changes = patient.set_attributes(place.clone(), false, change).boxed();
    let mut opens = patient.open(place.clone(), &cut).boxed();
    tokio::select! {
        biased;
        _ = &mut changes => panic!("it hangs"),
        _ = &mut opens => panic!("it hangs"),
        late = meta.set_attributes(place, false, change) => {
            assert!(matches!(late, Err(ClientError::Deadline { .. })), "{late:?}");
        }
    }
    servers.world.gate.add_permits(3);
    changes.await.expect("changed");
    let opened = opens.await.expect("opened");
    servers.world.script(Mutate::METHOD, [Fault::Hang]);
    let late = opened.set_len(ByteLen(5)).await;
    assert!(matches!(late, Err(ClientError::Deadline { .. })), "a file is not patient: {late:?}");
    servers.world.gate.add_permits(1);
}

#[tokio::test]
async fn after_a_refusal_nothing_is_under_way_and_what_was_done_counts() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let inode = file.inode();
    let faults = vec![Fault::Full, Fault::Hang, Fault::Hang];
    let mut write = meeting(&servers, &file, (at(0), pattern(3 * CHUNK, 1)), faults).await;
    waits(&file, &mut write).await;
    servers.world.gate.add_permits(2);
    assert_eq!(write.await, Err(FsError::NoSpace.into()));
    file.sync().await.expect("synced");
    let state = servers.world.state();
    assert_eq!(state.applied.len(), 2);
    let held: BTreeSet<u32> = state.chunks.keys().map(|(_, id)| id.index.get()).collect();
    let missing = (0..3).find(|index| !held.contains(index)).expect("one was refused");
    assert_eq!(state.size(inode).get(), end_held(&state, inode));
    assert!(dense_to(&state, inode) <= at(missing as usize).get(), "nothing is said to be there");
}

#[tokio::test]
async fn a_cut_and_an_append_wait_for_what_was_given_up() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(CHUNK, 0)).await;
    drop(hanging(&servers, &file, at(2), pattern(CHUNK, 1), 1).await);
    let mut cut = Box::pin(file.set_len(ByteLen(10)));
    waits(&file, &mut cut).await;
    servers.world.gate.add_permits(1);
    cut.await.expect("cut");
    assert_eq!(servers.world.state().applied.len(), 2, "before the cut");
    assert_eq!(file.stat().await.expect("told").size, ByteLen(10));
    drop(hanging(&servers, &file, at(2), pattern(CHUNK, 1), 1).await);
    let mut append = Box::pin(file.append(pattern(5, 2)));
    waits(&file, &mut append).await;
    servers.world.gate.add_permits(1);
    assert_eq!(append.await, Ok(at(3)));
}

/// A change of the length that is under way still must not cut what is written after it, nor a report
/// undo a cut.
#[tokio::test]
async fn reports_and_cuts_that_were_dropped_keep_their_places() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both().report_late(true)).await.expect("created");
    let dropped = async |call: BoxFuture<'_, Result<(), ClientError>>| {
        servers.world.script(Mutate::METHOD, [Fault::Hang]);
        let hangs = servers.world.until("it hangs", |state| state.faults_left() == 0);
        tokio::select! { _ = call => panic!("it hangs"), () = hangs => {} }
    };
    file.write_at(at(0), pattern(CHUNK, 1)).await.expect("written");
    dropped(file.sync().boxed()).await;
    let mut cut = file.set_len(ByteLen(10)).boxed();
    waits(&file, &mut cut).await;
    servers.world.gate.add_permits(1);
    cut.await.expect("cut");
    assert_eq!(file.stat().await.expect("told").size, ByteLen(10));
    dropped(file.set_len(ByteLen::ZERO).boxed()).await;
    let mut write = file.write_at(at(0), pattern(7, 2)).boxed();
    waits(&file, &mut write).await;
    servers.world.gate.add_permits(1);
    write.await.expect("written");
    assert_eq!(file.stat().await.expect("told").size, ByteLen(7));
    dropped(file.set_len(ByteLen(5)).boxed()).await;
    servers.world.gate.add_permits(1);
    file.write_at(at(0), pattern(3, 2)).await.expect("written after the cut");
    assert_eq!(file.attributes().size, ByteLen(5), "who cut it knows");
}

#[tokio::test]
async fn a_dropped_file_is_closed_when_its_writes_are_settled() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let other = client.fs().open("b", &both()).await.expect("created");
    let inode = file.inode();
    drop(hanging(&servers, &file, at(0), pattern(CHUNK, 1), 1).await);
    drop(file);
    waits(&other, &mut std::future::pending::<()>()).await;
    assert_eq!(servers.world.state().namespace.writers.len(), 2);
    drop((other, client));
    servers.world.gate.add_permits(1);
    let world = &servers.world;
    world.until("all ends", |state| state.open_connections == 0).await;
    let state = world.state();
    assert!(state.namespace.writers.is_empty() && state.namespace.sessions.is_empty());
    assert_eq!(state.size(inode).get(), end_held(&state, inode));
}

#[tokio::test]
async fn a_lost_session_ends_what_was_given_up() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    drop(hanging(&servers, &file, at(0), pattern(CHUNK, 1), 1).await);
    let mut sync = Box::pin(file.sync());
    waits(&file, &mut sync).await;
    servers.world.state().namespace.sessions.clear();
    assert_eq!(sync.await, Err(ClientError::SessionLost));
    servers.world.gate.add_permits(1);
    let again = client.fs().open("a", &both()).await.expect("under a new session");
    again.write_at(at(0), pattern(5, 2)).await.expect("written");
    assert_eq!(contents(&again, CHUNK).await, pattern(5, 2));
}

/// A copy may be on its way still: it is shut out before another write to the chunk is done.
#[tokio::test]
async fn a_refused_write_never_comes_over_a_later_one() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(3 * CHUNK, 0)).await;
    // Chunks 0, 2 and 4 are on one chain.
    let mut slow = hanging(&servers, &file, at(0), pattern(CHUNK, 1), 1).await;
    let full = Err(FsError::NoSpace.into());
    servers.world.script(UpdateChunk::METHOD, [Fault::Full]);
    assert_eq!(file.write_at(at(2), pattern(CHUNK, 2)).await, full);
    file.write_at(at(2), pattern(CHUNK, 3)).await.expect("there was one copy, and it was refused");
    servers.world.script(UpdateChunk::METHOD, [Fault::CloseBefore, Fault::Full]);
    assert_eq!(file.write_at(at(2), pattern(CHUNK, 4)).await, full);
    let mut later = Box::pin(file.write_at(at(2), pattern(CHUNK, 5)));
    tokio::select! {
        biased;
        _ = &mut slow => panic!("it hangs"),
        _ = &mut later => panic!("the other copy may still come"),
        done = file.write_at(at(4), pattern(CHUNK, 6)) => done.expect("another chunk is free"),
    }
    servers.world.gate.add_permits(1);
    slow.await.expect("written");
    later.await.expect("written");
}

/// Nobody but who has the chunks can end what was sent.
#[tokio::test]
async fn a_write_that_was_sent_goes_on_though_no_routing_is_to_be_had() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = client.fs().open("a", &both()).await.expect("created");
    let odd = Fault::Fail(WireError::bug("odd"));
    servers.world.script(UpdateChunk::METHOD, [Fault::Late]);
    servers.world.script(GetRouting::METHOD, [odd]);
    file.write_at(at(0), pattern(CHUNK, 1)).await.expect("written");
    assert_eq!(servers.world.faults_left(), 0, "both were met");
    file.write_at(at(0), pattern(CHUNK, 2)).await.expect("written");
    servers.world.gate.add_permits(1);
    let gate = &servers.world.gate;
    servers.world.until("the first copy came", |_| gate.available_permits() == 0).await;
    assert_eq!(contents(&file, CHUNK).await, pattern(CHUNK, 2));
}

#[tokio::test]
async fn a_write_given_up_never_comes_over_a_later_one() {
    let servers = Servers::start().await;
    let client = servers.client().await;
    let file = filled(&client, "a", &pattern(2 * CHUNK, 0)).await;
    drop(hanging(&servers, &file, at(1), pattern(CHUNK, 1), 1).await);
    let mut later = Box::pin(file.write_at(at(1), pattern(CHUNK, 2)));
    tokio::select! {
        _ = &mut later => panic!("the earlier one goes on"),
        done = file.write_at(at(2), pattern(CHUNK, 3)) => done.expect("another chunk is free"),
    }
    servers.world.gate.add_permits(1);
    later.await.expect("written");
    let (read, buf) = file.read_at(at(1), vec![0; CHUNK]).await;
    assert_eq!((read, &buf[..]), (Ok(CHUNK), &pattern(CHUNK, 2)[..]));
    let state = servers.world.state();
    let last = state.applied.iter().rfind(|(_, id)| id.index == ChunkIndex(1));
    let of_chunk = state.applied.iter().filter(|(_, id)| id.index == ChunkIndex(1));
    assert_eq!(last.map(|(tag, _)| tag.sequence), of_chunk.map(|(tag, _)| tag.sequence).max());
}

/// One call, and what becomes of it.
#[derive(Clone, Debug)]
struct Step {
    start: u64,
    len: usize,
    faults: Vec<Fault>,
    /// Dropped when so many requests came since it began; else it is waited for.
    dropped: Option<usize>,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        2 => Just(Fault::Full),
        3 => Just(Fault::Hang),
        1 => Just(Fault::CloseBefore),
        1 => Just(Fault::CloseAfter),
        1 => Just(Fault::Fail(WireError::Retry { after_ms: 1, text: "busy".to_owned() })),
    ];
    let (start, len) = (0..at(6).get(), 1..4 * CHUNK);
    let faults = prop::collection::vec(fault, 0..4);
    (start, len, faults, prop::option::of(0_usize..4))
        .prop_map(|(start, len, faults, dropped)| Step { start, len, faults, dropped })
}

/// Takes the step while hanging requests go on one by one.
async fn take(servers: &Servers, file: &File, step: &Step, salt: u8) {
    servers.world.script(UpdateChunk::METHOD, step.faults.clone());
    let calls = |state: &State| state.calls.get(&UpdateChunk::METHOD).copied().unwrap_or(0);
    let before = calls(&servers.world.state());
    let mut write = file.write_at(FileOffset(step.start), pattern(step.len, salt)).boxed();
    let Some(requests) = step.dropped else {
        servers.world.gate.add_permits(10);
        let done = write.await;
        assert!(matches!(done, Ok(()) | Err(ClientError::Fs(FsError::NoSpace))), "{done:?}");
        return;
    };
    let came = servers.world.until("it is sent", |state| calls(state) >= before + requests);
    let given_up = async {
        tokio::time::timeout(Duration::from_millis(20), came).await.ok();
    };
    tokio::select! { _ = &mut write => {}, () = given_up => {} }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whatever became of the calls: once it is closed, the length covers every byte that a server has, and
    /// what is said to be dense is there.
    #[test]
    fn a_closed_file_s_length_covers_all_that_servers_have(
        steps in prop::collection::vec(step(), 1..8),
        late: bool,
    ) {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let servers = Servers::start().await;
            let client = servers.client().await;
            let file = client.fs().open("a", &both().report_late(late)).await.expect("created");
            let inode = file.inode();
            for (salt, step) in (1..).zip(&steps) {
                take(&servers, &file, step, salt).await;
            }
            servers.world.gate.add_permits(1000);
            file.close().await.expect("closed");
            let state = servers.world.state();
            prop_assert!(state.namespace.writers.is_empty());
            prop_assert_eq!(state.size(inode).get(), end_held(&state, inode));
            let dense = dense_to(&state, inode);
            for index in 0..dense.div_ceil(CHUNK as u64) {
                let covered = (dense - index * CHUNK as u64).min(CHUNK as u64);
                let index = u32::try_from(index).expect("small");
                let has = state.chunks.iter().any(|((_, id), bytes)| {
                    id.index == ChunkIndex(index) && bytes.len() as u64 >= covered
                });
                prop_assert!(has, "chunk {} below {}", index, dense);
            }
            Ok(())
        })?;
    }
}
