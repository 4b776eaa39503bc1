//! What a faulty server does otherwise: planted faults that are more than a line where they strike.

use emberfs_chain_replication::target::{
    Answer, Ask, CallId, Chunks, Input, Installed, OpId, VersionState,
};
use emberfs_layout::{ChainVersion, ChunkId, TargetId};
use emberfs_wire::PayloadSums;
use emberfs_wire::chunk::Replica;
use emberfs_wire::cluster::{Chain, PublicState};
use emberfs_wire::replica::{AskCommittedReply, ChunkSummary, ComparePageReply, InstallChunk};

use super::begun::Begun;
use super::copies::asked;
use super::{Node, Want};
use crate::network::{Address, Message, node_of, target_of};
use crate::planted::Planted;
use crate::server::News;
use crate::store::Work;

/// No core gives calls and operations such numbers.
const FORGED: u64 = u64::MAX / 2;

impl Node {
    /// Whether it hears of the marks only, and of the chain with the next news.
    pub(super) fn learns_early(&self, chain: &Chain, news: &News) -> bool {
        let is_behind = chain.version > self.version && self.version > ChainVersion::NONE;
        self.planted == Some(Planted::MarksEarly) && is_behind && !news.marks.is_empty()
    }

    /// Whether it refuses what a member refused that it brings up to date.
    pub(super) fn obeys(&self) -> bool {
        self.planted == Some(Planted::SyncingObeyed) && self.obeys_in == self.version
    }

    pub(super) fn forge(&self, replica: &mut Replica) {
        if self.planted == Some(Planted::AnyChainVersion) {
            replica.version = self.version;
        }
    }

    /// What a faulty server makes up instead of asking.
    pub(super) fn forged_answer(&self, ask: &Ask) -> Option<Answer> {
        match (self.planted?, ask) {
            (Planted::DirtyReadUnasked, Ask::Committed(ask)) => {
                let state = self.store.state(ask.chunk)?;
                let version = state.pending.or(state.committed)?.version;
                Some(Answer::Committed(AskCommittedReply { version }))
            }
            (Planted::NothingCompared, Ask::Page(_)) => {
                let all = self.store.page(None, usize::MAX);
                let same = all
                    .into_iter()
                    .filter_map(|(chunk, state)| Some(summary(chunk, &state.committed?)));
                Some(Answer::Page(ComparePageReply { chunks: same.collect(), end: true }))
            }
            _ => None,
        }
    }

    /// What a faulty server sends the syncing member behind it under a new version of the chain: chunks of which
    /// versions from under the one before are not through.
    pub(super) fn sent_too_early(&self, chain: &Chain, under_way: &[ChunkId]) -> Vec<Want> {
        let syncing = chain.members.iter().find(|member| member.state == PublicState::Syncing);
        let to = syncing.filter(|_| self.planted == Some(Planted::SentTooEarly));
        let Some(to) = to.map(|member| member.target) else { return Vec::new() };
        under_way.iter().filter_map(|chunk| self.install(chain, to, *chunk)).collect()
    }

    /// A chunk as it is committed here, sent to another member.
    fn install(&self, chain: &Chain, to: TargetId, chunk: ChunkId) -> Option<Want> {
        let Installed { state, chunk_size, tags, data } = self.store.to_install(chunk)?;
        let replica = Replica { target: to, chain: chain.id, version: chain.version };
        let (from, summary) = (target_of(self.at), summary(chunk, &state));
        let sums = data.as_ref().map(PayloadSums::of);
        let install = InstallChunk { replica, from, summary, chunk_size, tags, data: sums };
        let (ask, call) = (Ask::Install { install, data }, CallId(FORGED));
        let message = Message::Ask { node: self.at, boot: self.boot, call, ask };
        let to = Address::Node(node_of(to));
        Some(Want::Send { to, boot: None, message: Box::new(message) })
    }

    /// A faulty server stores a copy of a chunk that comes late, over what it has from under the same version of
    /// the chain.
    pub(super) fn take_late_copy(&mut self, input: &Input) {
        let Input::Install { install, data, .. } = input else { return };
        let chunk = install.summary.chunk;
        if self.planted != Some(Planted::LateCopyTaken) || self.changes(chunk) {
            return;
        }
        let state = asked(install, data.as_ref());
        let (chunk_size, tags, data) = (install.chunk_size, install.tags.clone(), data.clone());
        self.store.show_installed(chunk, Installed { state, chunk_size, tags, data });
        self.store.settle(chunk);
    }

    /// Whether its store is changing a chunk.
    fn changes(&self, chunk: ChunkId) -> bool {
        self.begun.values().any(|begun| match begun {
            Begun::Change(Work::Put(of, _) | Work::Install(of, _) | Work::Sweep(of)) => {
                *of == chunk
            }
            _ => false,
        })
    }

    /// A faulty server stores once more what it was sent and has stored already, and answers after that; a copy
    /// that comes meanwhile gets no answer.
    pub(super) fn stores_again(&mut self, input: Input, wants: &mut Vec<Want>) -> Option<Input> {
        let Input::Install { install, data: Some(_), .. } = &input else { return Some(input) };
        if self.planted != Some(Planted::InstalledAgain) {
            return Some(input);
        }
        let chunk = install.summary.chunk;
        let of = |begun: &Begun| {
            let Begun::Again(waits) = begun else { return false };
            matches!(&**waits, Input::Install { install, .. } if install.summary.chunk == chunk)
        };
        if !self.begun.values().any(of) {
            self.forged += 1;
            let op = OpId(FORGED + self.forged);
            self.begin(op, Begun::Again(Box::new(input)), wants);
        }
        None
    }
}

fn summary(chunk: ChunkId, state: &VersionState) -> ChunkSummary {
    let VersionState { version, digest, written_in, removed, .. } = *state;
    ChunkSummary { chunk, version, digest, written_in, removed }
}
