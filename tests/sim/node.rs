//! A simulated storage server with one target: carries out the core's effects on the model store and the
//! network, and loses what a real one loses.

use std::collections::BTreeMap;

use emberfs_chain_replication::target::{
    Answer, Ask, CallId, Durable, Effect, EndedSessions, Input, Loaded, Millis, OpId, Reply,
    RequestId, StoreError, Target, Which,
};
use emberfs_layout::{ChainVersion, ChunkId, ChunkOffset, ClientId, TargetId};
use emberfs_wire::WireError;
use emberfs_wire::chunk::Replica;
use emberfs_wire::cluster::Chain;
use emberfs_wire::replica::{AskCommittedReply, ChunkSummary, ComparePageReply};

use crate::network::{Address, Message};
use crate::planted::Planted;
use crate::store::{Store, Work};

/// A syncing member answers with pages as short as this, so that resync takes several.
const PAGE_CHUNKS: u32 = 2;

/// What a node wants of the world.
pub(crate) enum Want {
    /// A message; to that start of a server, or to the present one.
    Send { to: Address, boot: Option<u64>, message: Box<Message> },
    /// The store is to finish this after a while.
    Finish(OpId),
    /// Something that must never happen.
    Fault(String),
}

/// What the store has begun.
enum Begun {
    Change(Work),
    /// It was said to be done already; it becomes durable only now.
    Settle(ChunkId),
    Read {
        chunk: ChunkId,
        which: Which,
        start: ChunkOffset,
        len: ChunkOffset,
    },
}

enum From {
    Client { client: usize, attempt: u64 },
    Node { node: usize, boot: u64, call: CallId },
}

pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) chain: usize,
    pub(crate) boot: u64,
    pub(crate) paused_until: u64,
    pub(crate) store: Store,
    core: Option<Target>,
    planted: Option<Planted>,
    begun: BTreeMap<OpId, Begun>,
    requests: BTreeMap<RequestId, From>,
    next_request: u64,
    version: ChainVersion,
    /// Up to where it has heard the list of ended sessions.
    ended_to: usize,
    /// Its clock: hundredths of the true speed, and where it began.
    clock: (u64, u64),
}

impl Node {
    pub(crate) fn new(
        at: usize,
        chain: usize,
        clock: (u64, u64),
        planted: Option<Planted>,
    ) -> Self {
        let core = Target::new(Self::target_of(at), Loaded::default());
        Self {
            at,
            chain,
            boot: 1,
            paused_until: 0,
            store: Store::default(),
            core: Some(core),
            planted,
            begun: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            version: ChainVersion::NONE,
            ended_to: 0,
            clock,
        }
    }

    fn target_of(at: usize) -> TargetId {
        TargetId(u32::try_from(at).expect("few"))
    }

    pub(crate) fn runs(&self) -> bool {
        self.core.is_some()
    }

    fn local(&self, now: u64) -> u64 {
        self.clock.1 + now * self.clock.0 / 100
    }

    /// The power goes; of what the store had begun, `lucky` says what was through.
    pub(crate) fn crash(&mut self, mut lucky: impl FnMut() -> bool) {
        for begun in std::mem::take(&mut self.begun).into_values() {
            match begun {
                Begun::Change(work) if lucky() => drop(self.store.apply(work)),
                Begun::Settle(chunk) if lucky() => self.store.settle(chunk),
                _ => {}
            }
        }
        self.store.lose_power();
        self.core = None;
        self.requests.clear();
    }

    /// A new start, which was told what has `ended` before.
    pub(crate) fn restart(&mut self, ended: EndedSessions) {
        self.boot += 1;
        self.ended_to = 0;
        let mut loaded = self.store.load(ended);
        if self.planted == Some(Planted::TagsForgotten) {
            loaded.tags.clear();
        }
        self.core = Some(Target::new(Self::target_of(self.at), loaded));
    }

    pub(crate) fn heartbeat(&self, now: u64) -> Option<Message> {
        let report = self.core.as_ref()?.report();
        let (node, boot, sent) = (self.at, self.boot, self.local(now));
        Some(Message::Beat { node, boot, report, sent, ended: self.ended_to })
    }

    pub(crate) fn tick(&mut self, now: u64) -> Vec<Want> {
        self.step(now, Input::Tick)
    }

    /// A message has come.
    pub(crate) fn receive(&mut self, now: u64, message: Message) -> Vec<Want> {
        let input = match message {
            Message::Update { client, attempt, mut update, data } => {
                self.forge(&mut update.replica);
                let id = self.request(From::Client { client, attempt });
                Input::Update { id, update, data }
            }
            Message::Read { client, attempt, mut read } => {
                self.forge(&mut read.replica);
                Input::Read { id: self.request(From::Client { client, attempt }), read }
            }
            Message::Ask { node, boot, call, ask } => {
                let id = self.request(From::Node { node, boot, call });
                self.asked(id, ask)
            }
            Message::AskReply { call, answer } => Input::Answer { call, answer },
            Message::BeatReply { sent, chain, ended, ended_to } => {
                return self.heard(now, sent, chain, ended, ended_to);
            }
            Message::Answered { .. }
            | Message::Beat { .. }
            | Message::Route { .. }
            | Message::RouteReply { .. } => unreachable!("not for a server"),
        };
        self.step(now, input)
    }

    fn asked(&self, id: RequestId, ask: Ask) -> Input {
        match ask {
            Ask::Forward { mut update, data } => {
                self.forge(&mut update.replica);
                Input::Forward { id, update, data }
            }
            Ask::Committed(mut ask) => {
                self.forge(&mut ask.replica);
                Input::AskCommitted { id, ask }
            }
            Ask::Page(mut ask) => {
                self.forge(&mut ask.replica);
                ask.limit = PAGE_CHUNKS;
                Input::ComparePage { id, ask }
            }
            Ask::Install { mut install, data } => {
                self.forge(&mut install.replica);
                Input::Install { id, install, data }
            }
            Ask::Finish(mut ask) => {
                self.forge(&mut ask.replica);
                Input::FinishSync { id, ask }
            }
        }
    }

    /// The answer to a heartbeat: the lease counts from when that was sent.
    fn heard(
        &mut self,
        now: u64,
        sent: u64,
        chain: Option<Chain>,
        ended: Vec<ClientId>,
        ended_to: usize,
    ) -> Vec<Want> {
        let mut until = Millis(sent + crate::controller::LEASE_MS / 2);
        if self.planted == Some(Planted::LeaseForEver) {
            until = Millis(u64::MAX);
        }
        let mut wants = self.step(now, Input::Lease { until });
        if ended_to > self.ended_to {
            self.ended_to = ended_to;
            wants.extend(self.step(now, Input::Ended(ended)));
        }
        if let Some(chain) = chain {
            self.version = self.version.max(chain.version);
            wants.extend(self.step(now, Input::Chain(chain)));
        }
        wants
    }

    /// Something that the store had begun is through.
    pub(crate) fn finished(&mut self, now: u64, op: OpId, fails: bool) -> Vec<Want> {
        let Some(begun) = self.begun.remove(&op) else { return Vec::new() };
        let input = match begun {
            Begun::Change(_) if fails => Input::Stored { op, outcome: Err(StoreError::NoSpace) },
            Begun::Change(work) => {
                let durable = self.store.apply(work).map_or_else(Durable::done, |put| {
                    let (state, lens) = put;
                    Durable::put(state, lens)
                });
                Input::Stored { op, outcome: Ok(durable) }
            }
            Begun::Settle(chunk) => {
                self.store.settle(chunk);
                return Vec::new();
            }
            Begun::Read { chunk, which, start, len } => {
                Input::ReadDone { op, outcome: self.store.read(chunk, which, start, len) }
            }
        };
        self.step(now, input)
    }

    fn step(&mut self, now: u64, input: Input) -> Vec<Want> {
        let clock = Millis(self.local(now));
        let Some(core) = &mut self.core else { return Vec::new() };
        let mut effects = Vec::new();
        core.step(clock, input, &self.store, &mut effects);
        let mut wants = Vec::new();
        for effect in effects {
            self.carry_out(now, effect, &mut wants);
        }
        wants
    }

    fn carry_out(&mut self, now: u64, effect: Effect, wants: &mut Vec<Want>) {
        match effect {
            Effect::Put { op, chunk, mut new } => {
                new.commit |= self.planted == Some(Planted::CommittedTooEarly);
                if self.planted == Some(Planted::DurableTooEarly) {
                    let (state, lens) = self.store.show(chunk, new);
                    self.begin(op, Begun::Settle(chunk), wants);
                    let outcome = Ok(Durable::put(state, lens));
                    wants.extend(self.step(now, Input::Stored { op, outcome }));
                } else {
                    self.begin(op, Begun::Change(Work::Put(chunk, new)), wants);
                }
            }
            Effect::Install { op, chunk, installed } => {
                self.begin(op, Begun::Change(Work::Install(chunk, installed)), wants);
            }
            Effect::Sweep { op, chunk } => {
                self.begin(op, Begun::Change(Work::Sweep(chunk)), wants);
            }
            Effect::Flush { op } => self.begin(op, Begun::Change(Work::Flush), wants),
            Effect::Commit { chunk, version } => self.store.commit(chunk, version),
            Effect::Discard { chunk } => self.store.discard(chunk),
            Effect::Read { op, chunk, which, start, len } => {
                self.begin(op, Begun::Read { chunk, which, start, len }, wants);
            }
            Effect::Send { call, to, ask } => match self.forged_answer(&ask) {
                Some(answer) => {
                    let answer = Ok(answer);
                    wants.extend(self.step(now, Input::Answer { call, answer }));
                }
                None => {
                    let message = Message::Ask { node: self.at, boot: self.boot, call, ask };
                    let to = Address::Node(to.0 as usize);
                    wants.push(Want::Send { to, boot: None, message: Box::new(message) });
                }
            },
            Effect::Reply { to, reply } => self.reply(to, reply, wants),
            Effect::ReplicasDiffer { chunk, version, .. } => {
                let at = self.at;
                wants.push(Want::Fault(format!("node {at}: {chunk} differs in {version}")));
            }
            Effect::Failed { text } => wants.push(Want::Fault(text)),
        }
    }

    fn begin(&mut self, op: OpId, begun: Begun, wants: &mut Vec<Want>) {
        self.begun.insert(op, begun);
        wants.push(Want::Finish(op));
    }

    fn request(&mut self, from: From) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.requests.insert(id, from);
        id
    }

    fn reply(&mut self, to: RequestId, reply: Result<Reply, WireError>, wants: &mut Vec<Want>) {
        if let Err(WireError::Bug { text }) = &reply {
            wants.push(Want::Fault(format!("node {}: {text}", self.at)));
        }
        let Some(from) = self.requests.remove(&to) else {
            return wants.push(Want::Fault(format!("a second answer to {to:?}")));
        };
        match from {
            From::Client { client, attempt } => {
                let message = Box::new(Message::Answered { attempt, reply });
                wants.push(Want::Send { to: Address::Client(client), boot: None, message });
            }
            From::Node { node, boot, call } => {
                let answer = reply.map(|reply| match reply {
                    Reply::Replica(answer) => answer,
                    other => unreachable!("{other:?} to a replica"),
                });
                let message = Box::new(Message::AskReply { call, answer });
                wants.push(Want::Send { to: Address::Node(node), boot: Some(boot), message });
            }
        }
    }

    fn forge(&self, replica: &mut Replica) {
        if self.planted == Some(Planted::AnyChainVersion) {
            replica.version = self.version;
        }
    }

    /// What a faulty server makes up instead of asking.
    fn forged_answer(&self, ask: &Ask) -> Option<Answer> {
        use emberfs_chain_replication::target::Chunks;
        match (self.planted?, ask) {
            (Planted::DirtyReadUnasked, Ask::Committed(ask)) => {
                let state = self.store.state(ask.chunk)?;
                let version = state.pending.or(state.committed)?.version;
                Some(Answer::Committed(AskCommittedReply { version }))
            }
            (Planted::NothingCompared, Ask::Page(_)) => {
                let all = self.store.page(None, usize::MAX);
                let same = all.into_iter().filter_map(|(chunk, state)| {
                    let state = state.committed?;
                    Some(ChunkSummary {
                        chunk,
                        version: state.version,
                        digest: state.digest,
                        written_in: state.written_in,
                        removed: state.removed,
                    })
                });
                Some(Answer::Page(ComparePageReply { chunks: same.collect(), end: true }))
            }
            _ => None,
        }
    }
}
