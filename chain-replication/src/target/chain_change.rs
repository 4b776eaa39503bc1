//! A new version of the chain: what is under way is driven again by whoever serves under it, and dropped by
//! whoever does not.
//!
//! What was begun under an earlier version of the chain ends at the last serving member, whatever the syncing one
//! behind it was sent of it then: all that this gets to see of a chunk after a transfer is made under this version
//! (see `transfer`).

use std::collections::BTreeMap;

use emberfs_layout::ChunkId;
use emberfs_wire::WireError;
use emberfs_wire::cluster::Chain;

use super::chain_view::{ChainView, Duty};
use super::chunks::StoreError;
use super::effect::Effect;
use super::input::{Durable, RequestId};
use super::returning::Returning;
use super::work::{Forward, Put};
use super::{Op, Orphan, OrphanTags, Target, Turn, retry};

impl Target {
    /// Takes a newer version of the chain.
    pub(super) fn on_chain(&mut self, turn: &mut Turn<'_>, chain: &Chain) {
        if self.view.as_ref().is_some_and(|view| chain.version <= view.version) {
            return;
        }
        let view = ChainView::new(chain, self.id);
        self.complete &= view.duty == Duty::Serving || view.last_to_serve;
        self.resync = None;
        self.returning = None;
        self.refused_to = None;
        self.tags.forget_refusals();
        self.turned_away.clear();
        self.view = Some(view);
        self.drop_calls(turn);
        match self.duty() {
            Duty::Serving => {
                self.no_room = None;
                self.orphan_installs(turn, &retry("the chain changed".to_owned()));
                self.serve_on(turn);
            }
            Duty::Syncing => {
                self.drop_works(turn);
                self.returning = Some(Returning::default());
                self.open_returning(turn);
            }
            Duty::Idle => self.drop_works(turn),
        }
    }

    /// Calls under the old version: questions fail, the rest is asked again by whoever still wants it.
    pub(super) fn drop_calls(&mut self, turn: &mut Turn<'_>) {
        self.calls.clear();
        for (_, (_, asker)) in std::mem::take(&mut self.questions) {
            let why = retry("the chain changed".to_owned());
            turn.out.push(Effect::refuse(asker.request(), why));
        }
    }

    /// Serves under a new version of the chain: everything under way is driven again.
    fn serve_on(&mut self, turn: &mut Turn<'_>) {
        let view = self.view.as_ref().expect("just taken");
        let (head, version, id) = (view.head, view.version, view.id);
        let last = view.last_serving == Some(self.id);
        let syncing = view.successor.filter(|next| next.syncing);
        self.resync = syncing.map(|next| super::Resync::new(next, self.limits));
        let why = WireError::RefreshRouting { chain: id, asked: version, known: version };
        let why = if head { retry("the chain changed".into()) } else { why };
        let chunks: Vec<ChunkId> = self.works.keys().copied().collect();
        for chunk in &chunks {
            let work = self.works.get_mut(chunk).expect("just listed");
            let mut gone: Vec<RequestId> = std::mem::take(&mut work.upstream);
            if !head {
                gone.extend(work.clients.iter_mut().flat_map(std::mem::take));
            }
            turn.out.extend(gone.into_iter().map(|id| Effect::refuse(id, why.clone())));
            work.attempt = None;
        }
        if !head {
            self.refuse_all_waiting(turn, &why);
        }
        if last {
            self.commit_found(turn);
        }
        for chunk in chunks {
            let work = self.works.get_mut(&chunk).expect("nothing ended since it was listed");
            if matches!(work.put, Put::Undoing { .. }) {
                continue;
            }
            work.inherited = last && work.handed_on;
            // Whatever the syncing member is sent is followed only by what is made under this version.
            work.without_syncing |= syncing.is_some() && !work.handed_on;
            // Nothing was sent under this version of the chain.
            if work.is_durable() || !matches!(work.forward, Forward::AfterPut) {
                work.forward = Forward::None;
                self.send_forward(turn, chunk);
            }
            self.advance(turn, chunk);
        }
    }

    /// Commits the pending versions that are in the store without being under way.
    fn commit_found(&mut self, turn: &mut Turn<'_>) {
        let found: Vec<ChunkId> = self
            .pending
            .keys()
            .copied()
            .filter(|chunk| !self.works.contains_key(chunk) && !self.is_orphaned(*chunk))
            .collect();
        found.into_iter().for_each(|chunk| self.commit_one_found(turn, chunk));
    }

    fn commit_one_found(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let version = self.pending.remove(&chunk).expect("it was found there");
        let shown = turn.chunks.state(chunk).and_then(|state| state.pending);
        if let Some(state) = shown.filter(|state| state.version == version) {
            turn.commit(chunk, state);
        }
    }

    /// Serves no more: nobody's request is carried on, and what the store still does is nobody's.
    pub(super) fn drop_works(&mut self, turn: &mut Turn<'_>) {
        let why = retry(format!("{} no longer serves", self.id));
        let mut applied = BTreeMap::new();
        for (chunk, work) in std::mem::take(&mut self.works) {
            applied.insert(chunk, work.changes.iter().map(|change| change.tag).collect());
            let clients = work.clients.into_iter().flatten();
            let readers = work.readers.iter().map(super::Asker::request);
            let all = clients.chain(work.upstream).chain(readers);
            turn.out.extend(all.map(|id| Effect::refuse(id, why.clone())));
            if matches!(work.put, Put::Failed { .. }) {
                self.pending.remove(&chunk);
            }
        }
        self.refuse_all_waiting(turn, &why);
        self.orphan_installs(turn, &why);
        for (op, kind) in std::mem::take(&mut self.ops) {
            match kind {
                Op::Put(chunk) => {
                    let tags = OrphanTags::Put(applied.remove(&chunk).unwrap_or_default());
                    self.orphans.insert(op, Orphan { chunk, tags });
                }
                Op::Flush(id) => turn.out.push(Effect::refuse(id, why.clone())),
                Op::Install(_) => unreachable!("it is an orphan now"),
                Op::Transfer(_) | Op::Undo(_) => {}
            }
        }
    }

    /// What was to be installed here is nobody's any more, and goes on. Whoever serves before it is through has the
    /// chunk as it was for a while, and must not change it, nor tell another that this is all there is.
    fn orphan_installs(&mut self, turn: &mut Turn<'_>, why: &WireError) {
        self.ops.retain(|op, kind| {
            let Op::Install(install) = kind else { return true };
            turn.out.push(Effect::refuse(install.id, why.clone()));
            let (chunk, tags) = (install.chunk, std::mem::take(&mut install.tags));
            self.orphans.insert(*op, Orphan { chunk, tags: OrphanTags::Install(tags) });
            false
        });
    }

    /// A put or install that nobody waits for is through.
    pub(super) fn orphan_done(
        &mut self,
        turn: &mut Turn<'_>,
        orphan: Orphan,
        outcome: Result<Durable, StoreError>,
    ) {
        let Orphan { chunk, tags } = orphan;
        match (outcome, tags) {
            (Ok(durable), OrphanTags::Put(tags)) => self.record(chunk, tags, &durable),
            (Ok(_), OrphanTags::Install(tags)) => self.tags.replace(chunk, &tags),
            (Err(_), _) => {}
        }
        let last = self.view.as_ref().is_some_and(|view| view.last_serving == Some(self.id));
        match self.duty() {
            Duty::Serving if last && self.pending.contains_key(&chunk) => {
                self.commit_one_found(turn, chunk);
            }
            Duty::Syncing => self.open_returning(turn),
            Duty::Serving | Duty::Idle => {}
        }
    }
}
