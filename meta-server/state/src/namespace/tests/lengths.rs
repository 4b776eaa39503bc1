//! A file's bytes under random writers, cuts, deaths and late answers: old bytes never come back, also not as
//! zeros, reported ones are never behind the end, and what is called dense is there.
//!
//! The chains are a row of bytes that are there or not. A write is begun, and lands later; what its handle had
//! heard of cuts when it began goes with it. What the leader learns of the chains (a cut is carried out, where
//! the last byte is) reaches the state later, in any order with the rest. In the end all is carried out, and
//! then the length is what the chains have, or was set or reserved.

use std::collections::{BTreeMap, BTreeSet};

use emberfs_layout::{ByteLen, ClientId, InodeId, Sequence};
use emberfs_wire::meta::{
    AttributeChange, Attributes, HandleId, Mutation, MutationReply, Place, Query, QueryReply,
};
use proptest::prelude::*;

use super::invariants;
use super::world::{World, create, open, range, root, set};
use crate::command::Unfinished;
use crate::namespace::{Answer, LengthWork, length_recovery, pending_truncation};
use crate::{Body, Outcome};

/// Bytes of the file that are looked at.
const LEN_MAX: usize = 48;

#[derive(Clone, Debug)]
enum Step {
    Open(usize, bool),
    /// A write is sent.
    Begin(usize, usize, usize),
    /// The chains have one that was sent.
    Land(usize, usize),
    Report(usize, usize),
    /// The attributes are asked; who is told that the file is as long as it wrote reports no more.
    Stat(usize),
    Close(usize),
    /// Somebody without a handle sets the length.
    Resize(u64),
    /// Somebody does by its handle, of which nothing is under way.
    Cut(usize, u64),
    Append(usize, u64),
    /// The chains carry out the cut that stands; the leader notes it.
    CarryOut,
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
    let two = (which.clone(), which.clone());
    prop_oneof![
        3 => (which.clone(), any::<bool>()).prop_map(|(who, cuts)| Step::Open(who % 2, cuts)),
        6 => (which.clone(), start(), 1_usize..16).prop_map(|(h, at, len)| Step::Begin(h, at, len)),
        6 => two.clone().prop_map(|(handle, write)| Step::Land(handle, write)),
        4 => two.prop_map(|(handle, range)| Step::Report(handle, range)),
        2 => which.clone().prop_map(Step::Stat),
        2 => which.clone().prop_map(Step::Close),
        2 => (0_u64..40).prop_map(Step::Resize),
        1 => (which.clone(), 0_u64..40).prop_map(|(handle, len)| Step::Cut(handle, len)),
        1 => (which.clone(), 1_u64..3).prop_map(|(handle, len)| Step::Append(handle, len)),
        3 => Just(Step::CarryOut),
        3 => Just(Step::Finish),
        1 => which.prop_map(|who| Step::Die(who % 2)),
        3 => Just(Step::Ask),
        3 => Just(Step::Answer),
    ]
}

/// A write of these bytes, with what its handle had heard of cuts when it began.
#[derive(Clone, Copy, Debug)]
struct Write {
    bytes: (usize, usize),
    since: Option<Sequence>,
}

#[derive(Debug)]
struct Handle {
    client: usize,
    number: u64,
    /// Sent, and perhaps not there.
    under_way: Vec<Write>,
    unreported: Vec<Write>,
    /// The last cut that it has heard of.
    heard_of: Option<Sequence>,
    /// It waits for the standing cut to be carried out, and is not answered yet.
    waits: bool,
}

struct Scene {
    world: World,
    file: InodeId,
    clients: [ClientId; 2],
    handles: Vec<Handle>,
    next: u64,
    /// Bytes that are there, and whether a writer was told since that they count.
    bytes: BTreeMap<usize, bool>,
    /// How long the file was made without being written.
    least: u64,
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
            least: 0,
            cut: None,
            doomed: BTreeSet::new(),
            answer: None,
        }
    }

    fn handle(&self, which: usize) -> Option<usize> {
        let at = which.checked_rem(self.handles.len())?;
        (!self.handles[at].waits).then_some(at)
    }

    /// Applies a mutation of this client, and gives the attributes; what is blocked is left for later.
    fn mutate(&mut self, client: usize, mutation: Mutation) -> Option<(Attributes, MutationReply)> {
        self.world.client = self.clients[client];
        let reply = match self.world.begin(&root(), mutation) {
            Outcome::Mutation { reply, .. } => reply.expect("it is permitted"),
            Outcome::Blocked(Unfinished::Truncation(_) | Unfinished::Length(_)) => return None,
            other => panic!("{other:?}"),
        };
        match reply {
            MutationReply::Inode { attributes, .. }
            | MutationReply::Reserved { attributes, .. } => Some((attributes, reply)),
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, client: usize, truncate: bool) {
        self.next += 1;
        let number = self.next;
        let Some((told, _)) = self.mutate(client, open("f", false, Some(number), truncate)) else {
            return;
        };
        let (under_way, unreported) = (Vec::new(), Vec::new());
        let (waits, heard_of) = (truncate && self.is_cut(), cut_of(&told));
        self.handles.push(Handle { client, number, under_way, unreported, heard_of, waits });
        if truncate {
            self.was_cut(0);
        }
    }

    /// Reports one range, and perhaps closes with the last.
    fn report(&mut self, at: usize, which: usize, close: bool) -> bool {
        let Handle { client, number, ref unreported, .. } = self.handles[at];
        let which = which.checked_rem(unreported.len());
        let write = which.map(|which| unreported[which]);
        let written = write
            .map(|Write { bytes: (start, end), since }| range((start as u64, end as u64), since));
        let (inode, close) = (self.file, close && unreported.len() <= 1);
        let report = Mutation::Report { inode, handle: HandleId(number), written, close };
        let Some((told, _)) = self.mutate(client, report) else { return false };
        self.handles[at].heard_of = cut_of(&told);
        if let Some((which, write)) = which.zip(write) {
            self.handles[at].unreported.remove(which);
            self.count(write);
        }
        true
    }

    /// A writer was told that its bytes are safe with their length.
    fn count(&mut self, Write { bytes: (start, end), .. }: Write) {
        for byte in start..end {
            self.bytes.entry(byte).and_modify(|counts| *counts = true);
        }
    }

    fn close(&mut self, at: usize) {
        self.land_all(at);
        while !self.handles[at].unreported.is_empty() {
            let last = self.handles[at].unreported.len() == 1;
            if !self.report(at, 0, last) {
                return;
            }
            if last {
                self.handles.remove(at);
                return;
            }
        }
        if self.report(at, 0, true) {
            self.handles.remove(at);
        }
    }

    fn stat(&mut self, at: usize) {
        let of = Place::inode(self.file);
        let query = Query::Attributes { of, follow: true };
        let Answer::Reply(QueryReply::Attributes(told)) = self.world.ask(&root(), query) else {
            return;
        };
        self.handles[at].heard_of = cut_of(&told);
        let long = |write: &Write| write.bytes.1 as u64 <= told.size.0;
        let safe = self.handles[at].unreported.iter().copied().filter(long).collect::<Vec<_>>();
        safe.into_iter().for_each(|write| self.count(write));
    }

    fn die(&mut self, client: usize) {
        self.world.run(Body::EndSession(self.clients[client]));
        self.handles.retain(|handle| handle.client != client);
        self.next += 1;
        self.clients[client] = self.world.open_session(1_000 + self.next);
    }

    fn land(&mut self, at: usize, which: usize) {
        let handle = &mut self.handles[at];
        let Some(which) = which.checked_rem(handle.under_way.len()) else { return };
        let write = handle.under_way.remove(which);
        handle.unreported.push(write);
        let (start, end) = write.bytes;
        self.doomed.retain(|byte| !(start..end).contains(byte));
        self.bytes.extend((start..end).map(|byte| (byte, false)));
    }

    fn land_all(&mut self, at: usize) {
        while !self.handles[at].under_way.is_empty() {
            self.land(at, 0);
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Open(client, truncate) => self.open(client, truncate),
            Step::Begin(which, start, len) => {
                let Some(at) = self.handle(which) else { return };
                let (bytes, since) = ((start, start + len), self.handles[at].heard_of);
                self.handles[at].under_way.push(Write { bytes, since });
            }
            Step::Land(which, write) => {
                if let Some(at) = self.handle(which) {
                    self.land(at, write);
                }
            }
            Step::Report(which, range) => {
                self.handle(which).map(|at| self.report(at, range, false));
            }
            Step::Stat(which) => {
                if let Some(at) = self.handle(which) {
                    self.stat(at);
                }
            }
            Step::Close(which) => {
                if let Some(at) = self.handle(which) {
                    self.close(at);
                }
            }
            Step::Resize(len) => {
                if self.mutate(0, resize(None, len)).is_some() {
                    self.was_cut(len);
                }
            }
            Step::Cut(which, len) => self.resize_by(which, len),
            Step::Append(which, len) => self.append(which, len),
            Step::CarryOut => self.carry_out(),
            Step::Finish => {
                if let Some(round) = self.cut {
                    self.world.run(Body::FinishTruncation { inode: self.file, round });
                }
            }
            Step::Die(client) => self.die(client),
            Step::Ask => {
                let work = length_recovery(&self.world.store, self.file).expect("memory");
                self.answer = work.map(|work| (work, self.end())).or(self.answer);
            }
            Step::Answer => {
                let Some((LengthWork { inode, round, .. }, end)) = self.answer else { return };
                self.world.run(Body::RecoverLength { inode, end: ByteLen(end), round });
            }
        }
    }

    fn resize_by(&mut self, which: usize, len: u64) {
        let Some(at) = self.handle(which) else { return };
        self.land_all(at);
        let Handle { client, number, .. } = self.handles[at];
        let Some((told, _)) = self.mutate(client, resize(Some(number), len)) else { return };
        self.handles[at].waits = self.is_cut();
        self.handles[at].heard_of = cut_of(&told);
        self.was_cut(len);
    }

    fn carry_out(&mut self) {
        let work = pending_truncation(&self.world.store, self.file).expect("memory");
        let Some(work) = work else { return };
        self.bytes.retain(|byte, _| (*byte as u64) < work.len.0);
        self.cut = Some(work.round);
    }

    fn append(&mut self, which: usize, len: u64) {
        let Some(at) = self.handle(which) else { return };
        let Handle { client, number, .. } = self.handles[at];
        let (inode, handle, len) = (self.file, HandleId(number), ByteLen(len));
        let reserved = self.mutate(client, Mutation::Reserve { inode, handle, len });
        let Some((told, MutationReply::Reserved { at: start, .. })) = reserved else { return };
        self.handles[at].heard_of = cut_of(&told);
        let start = usize::try_from(start.0).expect("short");
        let known = self.bytes.keys().filter(|byte| **byte >= start && self.bytes[byte]);
        assert_eq!(known.count(), 0, "an append never lies over bytes that count");
        let (bytes, since) =
            ((start, start + usize::try_from(len.0).expect("short")), cut_of(&told));
        self.handles[at].under_way.push(Write { bytes, since });
        self.least = bytes.1 as u64;
    }

    /// The length was set: what lies behind it must go.
    fn was_cut(&mut self, len: u64) {
        self.least = len;
        self.doomed.extend(self.bytes.keys().filter(|byte| **byte as u64 >= len));
    }

    fn is_cut(&self) -> bool {
        pending_truncation(&self.world.store, self.file).expect("memory").is_some()
    }

    fn is_in_doubt(&self) -> bool {
        length_recovery(&self.world.store, self.file).expect("memory").is_some()
    }

    /// Where the last byte ends.
    fn end(&self) -> u64 {
        self.bytes.keys().next_back().map_or(0, |last| *last as u64 + 1)
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
        let most = self.least.max(self.end());
        assert!(size.0 <= most, "{size} of a file that ends at {most}: zeros came back");
        for (byte, counts) in &self.bytes {
            let lost = *counts && *byte as u64 >= size.0;
            assert!(!lost || self.is_in_doubt(), "byte {byte} counts, and is lost");
            assert!(!data.exact || (*byte as u64) < size.0, "byte {byte} lies behind an exact end");
        }
        for byte in 0..data.dense_to.0.min(LEN_MAX as u64) {
            let there = self.bytes.contains_key(&usize::try_from(byte).expect("short"));
            assert!(there, "byte {byte} is called dense, and is not there");
        }
    }

    /// Carries out all that is to be.
    fn settle(&mut self) {
        for step in [Step::CarryOut, Step::Finish, Step::Ask, Step::Answer] {
            self.take(&step);
            self.check();
        }
        assert!(!self.is_cut() && !self.is_in_doubt(), "one round settles it");
    }
}

/// The last cut that these attributes tell of.
fn cut_of(told: &Attributes) -> Option<Sequence> {
    told.data.expect("a file").cut
}

fn resize(handle: Option<u64>, len: u64) -> Mutation {
    let (size, handle) = (Some(ByteLen(len)), handle.map(HandleId));
    set("f", AttributeChange { size, handle, ..AttributeChange::default() })
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
        let stat = scene.world.ask(&root(), Query::Attributes { of, follow: true });
        prop_assert!(
            !scene.is_in_doubt() || matches!(stat, Answer::After(_)),
            "a length in doubt is not told"
        );
        scene.settle();
        invariants::check(&scene.world);
    }
}
