//! Random operations, done to an engine and to the reference.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use emberfs_buffer::{Payload, Pool};
use emberfs_layout::{ByteLen, ChunkOffset, ChunkSize, ChunkVersion, ClientId, Sequence};
use proptest::prelude::*;

use super::reference::{PlainChange, PlainChunk, PlainVersion, Reference, narrow, written_in};
use super::{CHUNKS, size_of};
use crate::disk::Disk;
use crate::records::Records;
use crate::{
    Change, ChunkKey, ChunkState, Engine, EngineError, Installed, NewVersion, TaggedChange, Which,
};

/// What is done to one chunk.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Put { changes: Vec<PlainChange>, commit: bool },
    Commit,
    Discard,
    Install { bytes: Vec<u8>, removed: bool },
    Sweep,
    Forget,
    Flush,
    DropTarget,
}

/// Actions on chunks, by their place in [`CHUNKS`], that go on at the same time.
pub(super) type Step = Vec<(usize, Action)>;

/// Bytes that tell places apart.
pub(super) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let word = |i: usize| (seed + i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    (0..len.div_ceil(8)).flat_map(|i| word(i).to_le_bytes()).take(len).collect()
}

/// A place near a boundary of blocks or pieces, or anywhere; within `max`.
fn place(max: usize) -> impl Strategy<Value = usize> {
    let unit = prop_oneof![Just(4096_usize), Just(16_384), Just(65_536), Just(262_144)];
    prop_oneof![
        (unit, 0_usize..20, 0_usize..3)
            .prop_map(move |(unit, n, off)| (unit * n + [0, 1, unit - 1][off]).min(max)),
        0..max,
    ]
}

fn change(max: usize) -> impl Strategy<Value = PlainChange> {
    let len = prop_oneof![0_usize..9_000, (0_usize..6).prop_map(|n| n * 4096), Just(70_000)];
    let write = (place(max), len, any::<u64>(), any::<bool>()).prop_map(
        move |(start, len, seed, aligned)| {
            let bytes = bytes(seed, len.min(max - start));
            PlainChange::Write { start, bytes, aligned }
        },
    );
    prop_oneof![
        6 => write,
        2 => place(max).prop_map(PlainChange::Cut),
        1 => Just(PlainChange::Remove),
    ]
}

fn action(max: usize) -> impl Strategy<Value = Action> {
    let changes = prop::collection::vec(change(max), 1..4);
    let install = (any::<u64>(), 0..max.min(200_000), any::<bool>());
    prop_oneof![
        8 => (changes, any::<bool>()).prop_map(|(changes, commit)| Action::Put { changes, commit }),
        5 => Just(Action::Commit),
        1 => Just(Action::Discard),
        1 => install.prop_map(|(seed, len, removed)| {
            Action::Install { bytes: bytes(seed, if removed { 0 } else { len }), removed }
        }),
        1 => Just(Action::Sweep),
        1 => Just(Action::Forget),
        1 => Just(Action::Flush),
        1 => Just(Action::DropTarget),
    ]
}

/// One to four chunks at a time; bytes within `max` of a chunk.
pub(super) fn step(max: usize) -> impl Strategy<Value = Step> {
    let one = (0..CHUNKS.len()).prop_flat_map(move |chunk| {
        let size = size_of(CHUNKS[chunk].1).bytes() as usize;
        (Just(chunk), action(max.min(size)))
    });
    prop::collection::vec(one, 1..5).prop_map(|mut step| {
        let alone = step.iter().position(|(_, action)| matches!(action, Action::DropTarget));
        if let Some(alone) = alone {
            return vec![step.swap_remove(alone)];
        }
        step.sort_by_key(|(chunk, _)| *chunk);
        step.dedup_by_key(|(chunk, _)| *chunk);
        step
    })
}

/// The bytes in memory as asked for.
pub(super) fn payload(start: usize, bytes: &[u8], aligned: bool, size: ChunkSize) -> Payload {
    let room = bytes.len() + 1;
    let mut buf = Pool::new(ByteLen(64 << 20)).take(room).expect("room");
    let begin = usize::from(!aligned);
    buf[begin..begin + bytes.len()].copy_from_slice(bytes);
    let bytes: Bytes = buf.freeze().slice(begin..begin + bytes.len());
    Payload::compute(bytes, narrow(start), size.block_size()).expect("within a chunk")
}

/// The version that these changes are to make.
pub(super) fn new_version(
    base: Option<&PlainVersion>,
    version: u64,
    size: ChunkSize,
    changes: &[PlainChange],
    commit: bool,
) -> NewVersion {
    let tagged = changes.iter().enumerate().map(|(i, change)| TaggedChange {
        client: ClientId(i as u64),
        sequence: Sequence(version),
        change: match change {
            PlainChange::Write { start, bytes, aligned } => {
                Change::Write(payload(*start, bytes, *aligned, size))
            }
            PlainChange::Cut(len) => Change::Cut(narrow(*len)),
            PlainChange::Remove => Change::Remove,
        },
    });
    let kept = base.map(|base| base.tags.clone()).unwrap_or_default().into_iter();
    NewVersion {
        version: ChunkVersion(version),
        written_in: written_in(version),
        chunk_size: size,
        changes: tagged.collect(),
        kept_tags: kept.filter(|tag| tag.version.0 + 1 == version).collect(),
        commit,
        keep_damage: false,
        sure_of_room: false,
    }
}

/// Does a step to both; returns when all of it has returned.
pub(super) async fn perform<D: Disk, R: Records>(
    engine: &Engine<D, R>,
    reference: &Rc<RefCell<Reference>>,
    step: Step,
) {
    let mut durable = false;
    let mut tasks = Vec::new();
    for (chunk, action) in step {
        durable |= matches!(action, Action::Put { .. } | Action::Install { .. } | Action::Flush);
        let (engine, reference) = (engine.clone(), Rc::clone(reference));
        tasks.push(tokio::task::spawn_local(async move {
            one(&engine, &reference, chunk, action).await
        }));
    }
    let mut lazy = false;
    for task in tasks {
        lazy |= task.await.expect("no panic");
    }
    // What nobody waited for is durable with what others waited for, unless it came after.
    if durable && !lazy {
        reference.borrow_mut().all_durable();
    }
}

/// Does one action; returns whether it may not be durable yet.
async fn one<D: Disk, R: Records>(
    engine: &Engine<D, R>,
    reference: &RefCell<Reference>,
    chunk: usize,
    action: Action,
) -> bool {
    let (key, log2) = CHUNKS[chunk];
    let size = size_of(log2);
    let before = reference.borrow().get(key);
    match action {
        Action::Put { changes, commit } => {
            put(engine, reference, key, size, &changes, commit).await;
        }
        Action::Install { bytes, removed } => {
            install(engine, reference, key, size, bytes, removed).await;
        }
        Action::Commit => {
            let Some(pending) = before.pending else { return false };
            let version = ChunkVersion(pending.version);
            let after = PlainChunk { committed: Some(pending), pending: None };
            reference.borrow_mut().begin(key, &after);
            engine.commit(key, ChunkVersion(version.0 + 1));
            engine.commit(key, version);
            reference.borrow_mut().end(key, after, false);
            return true;
        }
        Action::Discard => {
            let after = PlainChunk { pending: None, ..before };
            reference.borrow_mut().begin(key, &after);
            engine.discard(key);
            reference.borrow_mut().end(key, after, false);
            return true;
        }
        Action::Sweep => {
            let removed = before.committed.as_ref().is_some_and(|version| version.removed);
            let swept = removed && before.pending.is_none();
            let after = if swept { PlainChunk::default() } else { before };
            reference.borrow_mut().begin(key, &after);
            engine.sweep(key).await.expect("nothing fails");
            reference.borrow_mut().end(key, after, false);
            return true;
        }
        Action::Forget => {
            let nothing = PlainChunk::default();
            reference.borrow_mut().begin(key, &nothing);
            engine.forget(key).await.expect("nothing fails");
            reference.borrow_mut().end(key, nothing, true);
        }
        Action::Flush => engine.flush().await.expect("nothing fails"),
        Action::DropTarget => {
            let of_target = || CHUNKS.into_iter().filter(|(k, _)| k.target == key.target);
            let nothing = PlainChunk::default();
            of_target().for_each(|(key, _)| reference.borrow_mut().begin(key, &nothing));
            engine.drop_target(key.target).await.expect("nothing fails");
            let mut reference = reference.borrow_mut();
            of_target().for_each(|(key, _)| reference.end(key, nothing.clone(), true));
        }
    }
    false
}

async fn put<D: Disk, R: Records>(
    engine: &Engine<D, R>,
    reference: &RefCell<Reference>,
    key: ChunkKey,
    size: ChunkSize,
    changes: &[PlainChange],
    commit: bool,
) {
    let before = reference.borrow().get(key);
    let base = before.committed.as_ref();
    let version = reference.borrow_mut().next_version();
    let (made, lens) = PlainVersion::next(base, version, changes);
    let new = new_version(base, version, size, changes, commit);
    let after = if commit {
        PlainChunk { committed: Some(made.clone()), pending: None }
    } else {
        PlainChunk { pending: Some(made.clone()), ..before.clone() }
    };
    reference.borrow_mut().begin(key, &after);
    let result = engine.put(key, new).await.expect("nothing fails");
    assert_eq!(result.state, made.state(size));
    assert_eq!(result.lens, lens.into_iter().map(narrow).collect::<Vec<_>>());
    reference.borrow_mut().end(key, after, true);
}

async fn install<D: Disk, R: Records>(
    engine: &Engine<D, R>,
    reference: &RefCell<Reference>,
    key: ChunkKey,
    size: ChunkSize,
    bytes: Vec<u8>,
    removed: bool,
) {
    let version = reference.borrow_mut().next_version();
    let data = (!bytes.is_empty()).then(|| payload(0, &bytes, true, size));
    let made = PlainVersion { version, bytes, removed, tags: Vec::new() };
    let state = made.state(size);
    let after = PlainChunk { committed: Some(made), pending: None };
    reference.borrow_mut().begin(key, &after);
    let installed = Installed { state, chunk_size: size, tags: Vec::new(), data };
    engine.install(key, installed).await.expect("nothing fails");
    reference.borrow_mut().end(key, after, true);
}

impl Reference {
    fn next_version(&mut self) -> u64 {
        self.last_version += 1;
        self.last_version
    }
}

/// What the engine has of a chunk, read in full and compared with itself; the first difference panics.
pub(super) async fn observe<D: Disk, R: Records>(
    engine: &Engine<D, R>,
    key: ChunkKey,
    log2: u8,
) -> PlainChunk {
    let Some(ChunkState { committed, pending, chunk_size }) = engine.state(key) else {
        return PlainChunk::default();
    };
    assert_eq!(chunk_size, size_of(log2));
    let tags = engine.tags(key.target).await.expect("readable");
    let tags: Vec<_> =
        tags.into_iter().filter(|(of, _)| *of == key.chunk).map(|(_, tag)| tag).collect();
    let mut found = PlainChunk::default();
    for (which, state) in [(Which::Committed, committed), (Which::Pending, pending)] {
        let Some(state) = state else {
            let absent = engine.read(key, which, ChunkOffset(0), ChunkOffset(1)).await;
            assert!(matches!(absent, Err(EngineError::Absent { .. })), "{absent:?}");
            continue;
        };
        let read = engine.read(key, which, ChunkOffset(0), ChunkOffset(u32::MAX)).await;
        let read = read.expect("readable");
        assert_eq!(read.version, state);
        let bytes = read.data.bytes().to_vec();
        let plain = PlainVersion {
            version: state.version.0,
            bytes,
            removed: state.removed,
            tags: tags.clone(),
        };
        assert_eq!(plain.state(chunk_size), state, "the digest is that of the bytes");
        match which {
            Which::Committed => found.committed = Some(plain),
            Which::Pending => found.pending = Some(plain),
        }
    }
    // The tags are the pending version's where there is one.
    if let (Some(committed), Some(_)) = (&mut found.committed, &found.pending) {
        committed.tags.clear();
    }
    found
}

/// The chunk as [`observe`] sees it.
pub(super) fn visible(chunk: &PlainChunk) -> PlainChunk {
    let mut chunk = chunk.clone();
    if let (Some(committed), Some(_)) = (&mut chunk.committed, &chunk.pending) {
        committed.tags.clear();
    }
    chunk
}
