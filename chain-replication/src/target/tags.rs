//! Which changes were applied, so that none is applied twice, and which were refused, so that none is
//! applied after that.
//!
//! A tag lives with its chunk, in the store and here, until its session says that it has the reply (the
//! low-water mark) or has ended. Which of a chunk's earlier tags still live is settled by the head with
//! each version and travels with it, so all replicas of a version have the same list, but for marks that one
//! heard of since.
//!
//! Marks are kept in memory only. That is enough: a mark guards against a message that was overtaken, and
//! one sent to an earlier start or under an earlier version of the chain is refused for that.
//!
//! A mark comes with its session's writes, or from the leader where the session writes nothing (`wanted`). What it
//! says stays true for good. Yet a replica learns it only when it goes by a version of the chain as new as any
//! that the settled requests went by: with the mark it forgets tags, and so do those behind it. If the chain had
//! changed without its knowledge, a late copy of a request that ended in doubt (the last one of a request that was
//! done is the one whose answer the client has) could reach the head of the newer version, which got the forgetting
//! from here and the mark from nobody, and be applied once more. A write is asked for its version first; a mark of
//! the leader's comes with a version that is as new.
//!
//! Ended sessions a start learns from the leader, all of them. Refusals of changes that were taken back are kept
//! likewise, as long as this version of the chain: a copy of the request that comes late gets the same answer.

use std::collections::{BTreeMap, BTreeSet};

use emberfs_layout::{ChunkId, ChunkVersion, ClientId, Sequence};
use emberfs_wire::replica::AppliedTag;
use emberfs_wire::{FsError, Tag};

use super::ended::EndedSessions;
use super::limits::{REFUSED_EACH_MAX, REFUSED_MAX};

#[derive(Debug, Default)]
pub(super) struct Tags {
    live: BTreeMap<ChunkId, Vec<AppliedTag>>,
    /// The same tags, by session.
    places: BTreeMap<ClientId, BTreeSet<(Sequence, ChunkId)>>,
    marks: BTreeMap<ClientId, Sequence>,
    ended: EndedSessions,
    refused: BTreeMap<(ClientId, Sequence), FsError>,
}

impl Tags {
    pub(super) fn new(ended: EndedSessions) -> Self {
        Self { ended, ..Self::default() }
    }

    /// Whether the request has its reply, or nobody waits for one: it must not be applied any more.
    pub(super) fn is_over(&self, tag: Tag) -> bool {
        self.has_ended(tag.client)
            || self.marks.get(&tag.client).is_some_and(|mark| tag.sequence < *mark)
    }

    pub(super) fn has_ended(&self, client: ClientId) -> bool {
        self.ended.has(client)
    }

    /// All requests of the session below `mark` have their replies.
    pub(super) fn learn(&mut self, client: ClientId, mark: Sequence) {
        if self.has_ended(client) || mark == Sequence::NONE {
            return;
        }
        let known = self.marks.entry(client).or_default();
        *known = mark.max(*known);
        let mark = *known;
        self.forget_refused(client, mark);
        while let Some((sequence, chunk)) = self.first_of(client).filter(|(s, _)| *s < mark) {
            self.forget(chunk, Tag { client, sequence });
        }
    }

    /// The session has ended.
    pub(super) fn end(&mut self, client: ClientId) {
        if self.has_ended(client) {
            return;
        }
        self.marks.remove(&client);
        self.forget_refused(client, Sequence(u64::MAX));
        while let Some((sequence, chunk)) = self.first_of(client) {
            self.forget(chunk, Tag { client, sequence });
        }
        self.ended.add(client);
    }

    /// The change is refused for good; `false` if too many are remembered, in all or of its session, to promise
    /// that. The first open request of a session always is: nothing is forgotten before it is through.
    pub(super) fn refuse(&mut self, tag: Tag, why: FsError) -> bool {
        let session = (tag.client, Sequence::NONE)..=(tag.client, Sequence(u64::MAX));
        let is_first = self.marks.get(&tag.client) == Some(&tag.sequence);
        let fits = is_first
            || (self.refused.len() < REFUSED_MAX
                && self.refused.range(session).count() < REFUSED_EACH_MAX);
        if fits && !self.is_over(tag) {
            self.refused.insert((tag.client, tag.sequence), why);
        }
        fits
    }

    /// Why the change was refused for good, if it was.
    pub(super) fn refusal(&self, tag: Tag) -> Option<FsError> {
        self.refused.get(&(tag.client, tag.sequence)).copied()
    }

    /// The chain has another version: copies of what was refused under the one before go by that.
    pub(super) fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    fn forget_refused(&mut self, client: ClientId, below: Sequence) {
        while let Some((tag, _)) =
            self.refused.range((client, Sequence::NONE)..(client, below)).next()
        {
            let tag = *tag;
            self.refused.remove(&tag);
        }
    }

    /// Whether any of a session's tags lives.
    pub(super) fn has_any_of(&self, client: ClientId) -> bool {
        self.places.contains_key(&client)
    }

    /// The live tags of a chunk.
    pub(super) fn of(&self, chunk: ChunkId) -> &[AppliedTag] {
        self.live.get(&chunk).map_or(&[], Vec::as_slice)
    }

    pub(super) fn find(&self, chunk: ChunkId, tag: Tag) -> Option<AppliedTag> {
        self.of(chunk).iter().find(|applied| applied.tag == tag).copied()
    }

    pub(super) fn add(&mut self, chunk: ChunkId, applied: AppliedTag) {
        if self.is_over(applied.tag) || self.find(chunk, applied.tag).is_some() {
            return;
        }
        self.live.entry(chunk).or_default().push(applied);
        let places = self.places.entry(applied.tag.client).or_default();
        places.insert((applied.tag.sequence, chunk));
    }

    /// The chunk has these tags and no others.
    pub(super) fn replace(&mut self, chunk: ChunkId, tags: &[AppliedTag]) {
        self.retain(chunk, |_| false);
        tags.iter().for_each(|applied| self.add(chunk, *applied));
    }

    /// Forgets those of the chunk's tags that do not satisfy `keep`.
    pub(super) fn retain(&mut self, chunk: ChunkId, keep: impl Fn(&AppliedTag) -> bool) {
        let gone: Vec<Tag> =
            self.of(chunk).iter().filter(|applied| !keep(applied)).map(|a| a.tag).collect();
        gone.into_iter().for_each(|tag| self.forget(chunk, tag));
    }

    /// Forgets the tags of versions above `version`, which were discarded.
    pub(super) fn retract(&mut self, chunk: ChunkId, version: ChunkVersion) {
        self.retain(chunk, |applied| applied.version <= version);
    }

    fn first_of(&self, client: ClientId) -> Option<(Sequence, ChunkId)> {
        self.places.get(&client).and_then(BTreeSet::first).copied()
    }

    fn forget(&mut self, chunk: ChunkId, tag: Tag) {
        if let Some(tags) = self.live.get_mut(&chunk) {
            tags.retain(|applied| applied.tag != tag);
            if tags.is_empty() {
                self.live.remove(&chunk);
            }
        }
        if let Some(places) = self.places.get_mut(&tag.client) {
            places.remove(&(tag.sequence, chunk));
            if places.is_empty() {
                self.places.remove(&tag.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_layout::{ChunkIndex, ChunkOffset, DataId};

    fn chunk(index: u32) -> ChunkId {
        ChunkId::new(DataId(1), ChunkIndex(index))
    }

    fn applied(client: u64, sequence: u64, version: u64) -> AppliedTag {
        let tag = Tag { client: ClientId(client), sequence: Sequence(sequence) };
        AppliedTag { tag, version: ChunkVersion(version), chunk_len: ChunkOffset(8) }
    }

    #[test]
    fn a_mark_forgets_what_is_below_it_and_refuses_it_for_ever() {
        let mut tags = Tags::default();
        tags.add(chunk(0), applied(1, 4, 1));
        tags.add(chunk(1), applied(1, 5, 1));
        tags.learn(ClientId(1), Sequence(5));
        assert!(tags.of(chunk(0)).is_empty() && tags.of(chunk(1)).len() == 1);
        tags.learn(ClientId(1), Sequence(2));
        assert!(tags.is_over(applied(1, 4, 1).tag) && !tags.is_over(applied(1, 5, 1).tag));
        tags.add(chunk(0), applied(1, 4, 1));
        assert!(tags.of(chunk(0)).is_empty());
    }

    #[test]
    fn a_session_that_ends_takes_its_tags_along() {
        let mut tags = Tags::new(EndedSessions::all_but(&[ClientId(6)], ClientId(7)));
        tags.add(chunk(0), applied(5, 4, 1));
        assert!(tags.of(chunk(0)).is_empty() && tags.is_over(applied(5, 9, 1).tag));
        tags.add(chunk(0), applied(6, 4, 1));
        assert_eq!(tags.of(chunk(0)).len(), 1);
        tags.end(ClientId(6));
        assert!(tags.of(chunk(0)).is_empty() && tags.is_over(applied(6, 4, 1).tag));
    }

    #[test]
    fn what_was_refused_stays_refused_until_its_session_knows() {
        let mut tags = Tags::default();
        let [first, second, other] = [(1, 4), (1, 5), (2, 4)].map(|(c, s)| applied(c, s, 1).tag);
        assert!([first, second, other].into_iter().all(|tag| tags.refuse(tag, FsError::NoSpace)));
        tags.learn(ClientId(1), Sequence(5));
        assert_eq!((tags.refusal(first), tags.refusal(second)), (None, Some(FsError::NoSpace)));
        tags.end(ClientId(1));
        assert_eq!((tags.refusal(second), tags.refusal(other)), (None, Some(FsError::NoSpace)));
        tags.forget_refusals();
        assert_eq!(tags.refusal(other), None);
    }

    #[test]
    fn so_many_refusals_are_remembered_of_a_session_and_so_many_in_all() {
        let mut tags = Tags::default();
        let mut refused = |client| {
            let all = (1..).take_while(|number| {
                tags.refuse(applied(client, *number, 1).tag, FsError::NoSpace)
            });
            all.count()
        };
        for client in 0..REFUSED_MAX / REFUSED_EACH_MAX {
            assert_eq!(refused(client as u64), REFUSED_EACH_MAX);
        }
        assert_eq!(refused(1 << 20), 0);
        let first = applied(1 << 20, 1, 1).tag;
        tags.learn(first.client, first.sequence);
        assert!(tags.refuse(first, FsError::NoSpace), "what holds the mark does not wait for it");
    }

    #[test]
    fn a_discarded_version_takes_its_tags_along() {
        let mut tags = Tags::default();
        tags.replace(chunk(0), &[applied(1, 1, 1), applied(2, 1, 2)]);
        tags.retract(chunk(0), ChunkVersion(1));
        assert_eq!(tags.of(chunk(0)), [applied(1, 1, 1)]);
        assert_eq!(tags.places.len(), 1);
    }
}
