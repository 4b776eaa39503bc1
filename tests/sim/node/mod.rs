//! One target of a simulated storage server: carries out the core's effects on the model store and the
//! network, and loses what a real one loses.

mod begun;
mod copies;
mod forgery;

use std::collections::{BTreeMap, BTreeSet};

use emberfs_chain_replication::target::{
    Ask, CallId, Durable, Effect, EndedSessions, Input, Limits, OpId, Reply, RequestId, Target,
};
use emberfs_layout::ChainVersion;
use emberfs_wire::cluster::{Chain, LocalState, SessionMark, TargetReport, WantedMark};
use emberfs_wire::{FsError, WireError};

use crate::network::{Address, Message, node_of, target_of};
use crate::planted::Planted;
use crate::server::{Clock, News};
use crate::store::{Store, Work};
use begun::Begun;
pub(crate) use begun::Takes;
use copies::Copy;

/// A syncing member answers with pages as short as this, so that resync takes several.
const PAGE_CHUNKS: u32 = 2;

/// What a node wants of the world.
pub(crate) enum Want {
    /// A message; to that start of a server, or to the present one.
    Send { to: Address, boot: Option<u64>, message: Box<Message> },
    /// That this is counted.
    Count(&'static str),
    /// The store is to finish this after a while.
    Finish { op: OpId, takes: Takes },
    /// Something that must never happen.
    Fault(String),
}

enum From {
    Client { client: usize, attempt: u64 },
    Node { node: usize, boot: u64, call: CallId },
}

pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) server: usize,
    pub(crate) chain: usize,
    /// How many times it began.
    pub(crate) boot: u64,
    /// Whether its disk has failed, for this process.
    pub(crate) disk_failed: bool,
    /// Until when its disk is slow.
    pub(crate) slow_until: u64,
    pub(crate) store: Store,
    limits: Limits,
    core: Option<Target>,
    planted: Option<Planted>,
    begun: BTreeMap<OpId, Begun>,
    requests: BTreeMap<RequestId, From>,
    next_request: u64,
    version: ChainVersion,
    clock: Clock,
    /// Whether its store had no room just now, or could not read what it was to change.
    refused: bool,
    /// Under which version of the chain that was so before it was told that it has everything.
    refused_in: ChainVersion,
    /// Under which it was told so, or is about to be.
    told_in: ChainVersion,
    /// Calls that brought chunks to a syncing member, and under which version of the chain that had no room: for
    /// a planted fault.
    installs: BTreeSet<CallId>,
    obeys_in: ChainVersion,
    /// How many operations a planted fault has begun.
    forged: u64,
}

impl Node {
    /// It begins when its server first hears of its chain.
    pub(crate) fn new(
        at: usize,
        server: usize,
        chain: usize,
        clock: Clock,
        limits: Limits,
        planted: Option<Planted>,
    ) -> Self {
        Self {
            at,
            server,
            chain,
            boot: 0,
            disk_failed: false,
            slow_until: 0,
            store: Store::default(),
            limits,
            core: None,
            planted,
            begun: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            version: ChainVersion::NONE,
            clock,
            refused: false,
            refused_in: ChainVersion::NONE,
            told_in: ChainVersion::NONE,
            installs: BTreeSet::new(),
            obeys_in: ChainVersion::NONE,
            forged: 0,
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.core.is_some()
    }

    /// The power goes; of what the store had begun, `lucky` says what was through.
    pub(crate) fn crash(&mut self, lucky: impl FnMut() -> bool) {
        self.lose_begun(lucky);
        self.store.lose_power();
        self.core = None;
        self.disk_failed = false;
        self.requests.clear();
    }

    /// It begins, and was told what has `ended` before.
    fn restart(&mut self, ended: EndedSessions) {
        self.boot += 1;
        self.version = ChainVersion::NONE;
        let mut loaded = self.store.load(ended);
        if self.planted == Some(Planted::TagsForgotten) {
            loaded.tags.clear();
        }
        self.core = Some(Target::new(target_of(self.at), loaded).limited(self.limits));
    }

    pub(crate) fn report(&self) -> Option<TargetReport> {
        Some(self.core.as_ref()?.report())
    }

    pub(crate) fn marks_wanted(&self) -> Vec<WantedMark> {
        self.core.as_ref().map_or_else(Vec::new, |core| core.marks_wanted().collect())
    }

    /// Whether changes may be refused since just now because of its store: it has all that its chain has, or
    /// is told so.
    pub(crate) fn refuses(&mut self) -> bool {
        let complete = self.report().is_some_and(|report| report.state == LocalState::UpToDate);
        let refused = std::mem::take(&mut self.refused);
        if refused && !complete && self.told_in != self.version {
            self.refused_in = self.version;
            return false;
        }
        refused
    }

    /// Its predecessor tells it that it has everything; whether changes may be refused since then because of
    /// what its store said before.
    pub(crate) fn is_told(&mut self, version: ChainVersion) -> bool {
        self.told_in = version.max(self.told_in);
        self.refused_in == version
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
            Message::AskReply { call, answer } => {
                let full = matches!(answer, Err(WireError::Refuse { why: FsError::NoSpace }));
                if self.installs.remove(&call) && full {
                    self.obeys_in = self.version;
                }
                Input::Answer { call, answer }
            }
            other => unreachable!("{other:?} to a target"),
        };
        let copy = self.copy(&input);
        let mut wants: Vec<Want> = copy.counted().into_iter().collect();
        let input = match copy {
            Copy::New => Some(input),
            Copy::Again => self.stores_again(input, &mut wants),
            Copy::Late => {
                self.take_late_copy(&input);
                Some(input)
            }
        };
        wants.extend(input.into_iter().flat_map(|input| self.step(now, input)));
        wants
    }

    fn asked(&self, id: RequestId, ask: Ask) -> Input {
        match ask {
            Ask::Forward { mut update, data } => {
                self.forge(&mut update.replica);
                if self.planted == Some(Planted::AnyAttempt) {
                    update.attempt = None;
                }
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

    /// Its server has heard: of its chain, of ended sessions, of marks, of a lease, and passes them on in this order.
    pub(crate) fn follow(&mut self, now: u64, chain: Chain, news: &News) -> Vec<Want> {
        if !self.runs() {
            self.restart(news.gone.clone());
        }
        let mut wants = Vec::new();
        if self.learns_early(&chain, news) {
            let early = |mark: &SessionMark| SessionMark { version: ChainVersion::NONE, ..*mark };
            return self.step(now, Input::Marks(news.marks.iter().map(early).collect()));
        }
        if chain.version > self.version {
            self.version = chain.version;
            let under_way = self.under_way(&chain);
            if !under_way.is_empty() {
                wants.push(Want::Count("a member begins to sync while versions are under way"));
            }
            wants.extend(self.sent_too_early(&chain, &under_way));
            wants.extend(self.step(now, Input::Chain(chain)));
        }
        if !news.ended.is_empty() {
            wants.extend(self.step(now, Input::Ended(news.ended.clone())));
        }
        if !news.marks.is_empty() {
            wants.push(Want::Count("a server hears a session's mark from the leader"));
            wants.extend(self.step(now, Input::Marks(news.marks.clone())));
        }
        wants.extend(self.step(now, Input::Lease { until: news.lease_until }));
        wants
    }

    fn step(&mut self, now: u64, input: Input) -> Vec<Want> {
        let clock = self.clock.at(now);
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
            Effect::Install { op, chunk, installed }
                if self.planted == Some(Planted::FinishedUnflushed) =>
            {
                self.store.show_installed(chunk, installed);
                wants.extend(self.step(now, Input::Stored { op, outcome: Ok(Durable::done()) }));
            }
            Effect::Flush { op } if self.planted == Some(Planted::FinishedUnflushed) => {
                wants.extend(self.step(now, Input::Stored { op, outcome: Ok(Durable::done()) }));
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
                    if matches!(ask, Ask::Install { .. }) {
                        self.installs.insert(call);
                    }
                    let message = Message::Ask { node: self.at, boot: self.boot, call, ask };
                    let to = Address::Node(node_of(to));
                    wants.push(Want::Send { to, boot: None, message: Box::new(message) });
                }
            },
            Effect::Reply { to, reply } => self.reply(to, reply, wants),
            Effect::ReplicasDiffer { chunk, version, .. } => {
                let at = self.at;
                wants.push(Want::Fault(format!("node {at}: {chunk} differs in {version}")));
            }
            Effect::Unreadable { .. } => {
                wants.push(Want::Count("a syncing member is owed a chunk that cannot be read"));
            }
            Effect::Failed { .. } if self.disk_failed => {}
            Effect::Failed { text } => wants.push(Want::Fault(text)),
        }
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
}
