//! A file's bytes under random writers, cuts, deaths and late answers: old bytes never come back, reported
//! ones are never behind the end, and what is called dense is there.
//!
//! The chains are a row of bytes that are there or not. What the leader learns of them (a cut is carried
//! out, where the last byte is) reaches the state later, in any order with the rest.

use std::collections::{BTreeMap, BTreeSet};

use emberfs_layout::{ByteLen, ClientId, InodeId, Sequence};
use emberfs_wire::meta::{Attributes, MutationReply, Place};
use proptest::prelude::*;

use super::invariants;
use super::world::{World, create, open, report, resize, root};
use crate::command::Unfinished;
use crate::namespace::{LengthWork, length_recovery, pending_truncation};
use crate::{Body, Outcome};

/// Bytes of the file that are looked at.
const LEN_MAX: usize = 48;

#[derive(Clone, Debug)]
enum Step {
    Open(usize, bool),
    Write(usize, usize, usize),
    Report(usize),
    Close(usize),
    Resize(u64),
    Append(usize, u64),
    /// The chains carry out the cut that stands; the leader notes it.
    Cut,
    /// What the leader noted is applied.
    Finish,
    Die(usize),
    /// The chains are asked for the last byte.
    Ask,
    /// The answer is applied.
    Answer,
}

/// Where a write begins: often at the start, as only such writes make a file dense.
fn start() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), 0_usize..30]
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0_usize..4;
    prop_oneof![
        3 => (which.clone(), any::<bool>()).prop_map(|(who, cuts)| Step::Open(who % 2, cuts)),
        6 => (which.clone(), start(), 1_usize..16).prop_map(|(h, at, len)| Step::Write(h, at, len)),
        3 => which.clone().prop_map(Step::Report),
        2 => which.clone().prop_map(Step::Close),
        3 => (0_u64..40).prop_map(Step::Resize),
        1 => (which.clone(), 1_u64..3).prop_map(|(handle, len)| Step::Append(handle, len)),
        3 => Just(Step::Cut),
        3 => Just(Step::Finish),
        1 => which.prop_map(|who| Step::Die(who % 2)),
        3 => Just(Step::Ask),
        3 => Just(Step::Answer),
    ]
}

#[derive(Debug)]
struct Handle {
    client: usize,
    number: u64,
    unreported: Vec<(usize, usize)>,
    /// Its open waits for a cut, and is not answered yet.
    waits: bool,
}

struct Scene {
    world: World,
    file: InodeId,
    clients: [ClientId; 2],
    handles: Vec<Handle>,
    next: u64,
    /// Bytes that are there, and whether a writer has reported them since.
    bytes: BTreeMap<usize, bool>,
    cut: Option<Sequence>,
    /// Bytes that were there when a truncation that is not answered yet began: it must remove them.
    doomed: BTreeSet<usize>,
    answer: Option<(LengthWork, u64)>,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        let file = world.done(&root(), create("f", 0o666, None)).expect("an inode").inode;
        let clients = [world.client, world.open_session(2)];
        let (handles, bytes) = (Vec::new(), BTreeMap::new());
        Self {
            world,
            file,
            clients,
            handles,
            next: 0,
            bytes,
            cut: None,
            doomed: BTreeSet::new(),
            answer: None,
        }
    }

    fn handle(&self, which: usize) -> Option<usize> {
        let at = which.checked_rem(self.handles.len())?;
        (!self.handles[at].waits).then_some(at)
    }

    /// Applies a mutation of this client; what is blocked is left for later.
    fn mutate(
        &mut self,
        client: usize,
        mutation: emberfs_wire::meta::Mutation,
    ) -> Option<MutationReply> {
        self.world.client = self.clients[client];
        match self.world.begin(&root(), mutation) {
            Outcome::Mutation { reply, .. } => Some(reply.expect("it is permitted")),
            Outcome::Blocked(Unfinished::Truncation(_) | Unfinished::Length(_)) => None,
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, client: usize, truncate: bool) {
        self.next += 1;
        let number = self.next;
        if self.mutate(client, open("f", false, Some(number), truncate)).is_some() {
            let waits = truncate && self.is_cut();
            self.handles.push(Handle { client, number, unreported: Vec::new(), waits });
            if truncate {
                self.doom(0);
            }
        }
    }

    fn report(&mut self, at: usize, close: bool) -> bool {
        let Handle { client, number, ref unreported, .. } = self.handles[at];
        let range = unreported.last().copied();
        let written = range.map(|(start, end)| (start as u64, end as u64));
        let close = close && unreported.len() <= 1;
        if self.mutate(client, report(self.file, number, written, close)).is_none() {
            return false;
        }
        self.handles[at].unreported.pop();
        for byte in range.map_or(0..0, |(start, end)| start..end) {
            self.bytes.entry(byte).and_modify(|reported| *reported = true);
        }
        true
    }

    fn close(&mut self, at: usize) {
        while !self.handles[at].unreported.is_empty() {
            let last = self.handles[at].unreported.len() == 1;
            if !self.report(at, last) {
                return;
            }
            if last {
                self.handles.remove(at);
                return;
            }
        }
        if self.report(at, true) {
            self.handles.remove(at);
        }
    }

    fn die(&mut self, client: usize) {
        self.world.run(Body::EndSession(self.clients[client]));
        self.handles.retain(|handle| handle.client != client);
        self.next += 1;
        self.clients[client] = self.world.open_session(1_000 + self.next);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Open(client, truncate) => self.open(client, truncate),
            Step::Write(which, start, len) => {
                let Some(at) = self.handle(which) else { return };
                self.handles[at].unreported.push((start, start + len));
                self.doomed.retain(|byte| !(start..start + len).contains(byte));
                self.bytes.extend((start..start + len).map(|byte| (byte, false)));
            }
            Step::Report(which) => {
                self.handle(which).map(|at| self.report(at, false));
            }
            Step::Close(which) => {
                if let Some(at) = self.handle(which) {
                    self.close(at);
                }
            }
            Step::Resize(len) => {
                if self.mutate(0, resize("f", len)).is_some() {
                    self.doom(len);
                }
            }
            Step::Append(which, len) => self.append(which, len),
            Step::Cut => {
                let work = pending_truncation(&self.world.store, self.file).expect("memory");
                let Some(work) = work else { return };
                self.bytes.retain(|byte, _| (*byte as u64) < work.len.0);
                self.cut = Some(work.round);
            }
            Step::Finish => {
                if let Some(round) = self.cut {
                    self.world.run(Body::FinishTruncation { inode: self.file, round });
                }
            }
            Step::Die(client) => self.die(client),
            Step::Ask => {
                let work = length_recovery(&self.world.store, self.file).expect("memory");
                let end = self.bytes.keys().next_back().map_or(0, |last| *last as u64 + 1);
                self.answer = work.map(|work| (work, end)).or(self.answer);
            }
            Step::Answer => {
                let Some((LengthWork { inode, round, .. }, end)) = self.answer else { return };
                self.world.run(Body::RecoverLength { inode, end: ByteLen(end), round });
            }
        }
    }

    fn append(&mut self, which: usize, len: u64) {
        let Some(at) = self.handle(which) else { return };
        let Handle { client, number, .. } = self.handles[at];
        let handle = emberfs_wire::meta::HandleId(number);
        let (inode, len) = (self.file, ByteLen(len));
        let reserve = emberfs_wire::meta::Mutation::Reserve { inode, handle, len };
        if let Some(MutationReply::Reserved { at: start, .. }) = self.mutate(client, reserve) {
            let start = usize::try_from(start.0).expect("short");
            let known = self.bytes.keys().filter(|byte| **byte >= start && self.bytes[byte]);
            assert_eq!(known.count(), 0, "an append never lies over reported bytes");
        }
    }

    fn doom(&mut self, len: u64) {
        self.doomed.extend(self.bytes.keys().filter(|byte| **byte as u64 >= len));
    }

    fn is_cut(&self) -> bool {
        pending_truncation(&self.world.store, self.file).expect("memory").is_some()
    }

    fn check(&mut self) {
        let store = &self.world.store;
        let inode = crate::namespace::inode::load(store, self.file).expect("memory");
        let Attributes { size, data, .. } = inode.attributes(self.file);
        let data = data.expect("a file");
        if self.is_cut() {
            return;
        }
        self.handles.iter_mut().for_each(|handle| handle.waits = false);
        for byte in std::mem::take(&mut self.doomed) {
            assert!(!self.bytes.contains_key(&byte), "byte {byte} outlived its truncation");
        }
        for (byte, reported) in &self.bytes {
            assert!(!reported || (*byte as u64) < size.0, "byte {byte} was reported, and is lost");
            assert!(!data.exact || (*byte as u64) < size.0, "byte {byte} lies behind an exact end");
        }
        for byte in 0..data.dense_to.0.min(LEN_MAX as u64) {
            let there = self.bytes.contains_key(&usize::try_from(byte).expect("short"));
            assert!(there, "byte {byte} is called dense, and is not there");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_byte_comes_back_and_none_is_lost(steps in prop::collection::vec(step(), 1..80)) {
        let mut scene = Scene::new();
        for step in &steps {
            scene.take(step);
            scene.check();
        }
        invariants::check(&scene.world);
        let of = Place::inode(scene.file);
        let stat = scene.world.ask(&root(), emberfs_wire::meta::Query::Attributes { of, follow: true });
        let recovering = length_recovery(&scene.world.store, scene.file).expect("memory").is_some();
        let after = matches!(stat, crate::namespace::Answer::After(_));
        prop_assert!(!recovering || after, "a length in doubt is not told");
    }
}
