//! The last serving member brings the syncing one behind it up to date.
//!
//! ```text
//!   settle ──► compare a page ──► transfer what differs ──► next page … ──► finish ──► done
//!                 chunks up to here are settled ──┘
//! ```
//! A write to a chunk that is neither settled nor transferred yet is held behind that chunk's transfer; one that
//! removes the chunk needs none of what was before, and goes without the syncing member, which is sent the
//! tombstone then, unless it is owed very much already. Nothing begins before the versions that this member ends
//! itself are through: those that it began as the end of the path or inherited from it, and those of earlier
//! versions of the chain that nobody was sent. What it has committed without the syncing member is then all in
//! the store, where comparing finds it. A version that the store does not take is not waited for: its chunk is
//! transferred when it is through. Whatever comes later this member commits only when the syncing member has it,
//! or owes it the chunk.
//!
//! A page is through when those of its chunks that differ are transferred, however many others are under way or
//! owed; all is sent, and the syncing member told so, when nothing is owed any more. A chunk that cannot be read
//! here is said ([`Effect::Unreadable`]), tried again now and then, and passed over; as long as it is owed, the
//! syncing member does not serve: it would take it for absent. Room that is lacking is the affair of `no_room`.
//!
//! [`Effect::Unreadable`]: super::Effect::Unreadable

use std::collections::BTreeMap;

use emberfs_layout::ChunkId;
use emberfs_wire::replica::{ChunkSummary, ComparePage, ComparePageReply, FinishSync};

use super::effect::Ask;
use super::input::Millis;
use super::limits::{AGAIN_MS, PAGE_MAX, TRANSFERS_MAX};
use super::resync::{Phase, Resync, Settled};
use super::returning::summary;
use super::transfer::bytes_of;
use super::work::Work;
use super::{Call, Target, Turn};

impl Target {
    /// Carries resync as far as it goes now.
    pub(super) fn pump_resync(&mut self, turn: &mut Turn<'_>) {
        self.begin_due(turn);
        let settling = |resync: &Resync| matches!(resync.phase, Phase::Settle);
        let settled = self.resync.as_ref().is_some_and(settling) && !self.settles();
        let Some(resync) = &mut self.resync else { return };
        match resync.phase {
            Phase::Settle if settled => {
                resync.phase = Phase::Compare { again: turn.now };
                let left = self.chunks_where(Work::ends_here);
                left.into_iter().for_each(|chunk| self.owe(turn.now, chunk));
            }
            Phase::Transfer { page } => self.transfer_page(turn, page),
            _ => {}
        }
        let Some(resync) = &mut self.resync else { return };
        match resync.phase {
            Phase::Compare { again } if again <= turn.now => self.compare(turn),
            Phase::Finish { again } if again <= turn.now => match resync.room_kept {
                Some(_) => self.compare_anew(None),
                None if resync.owed.is_empty() => self.finish(turn),
                None => {}
            },
            _ => {}
        }
    }

    /// Whether something may still be committed that comparing would not find, and that is not owed.
    fn settles(&self) -> bool {
        let Some(resync) = &self.resync else { return false };
        let found = |(chunk, work): (&ChunkId, &Work)| {
            !work.ends_here() || work.failed_once || resync.owed.has(*chunk)
        };
        // While room is kept nothing is settled: the works need not be waited for.
        !self.orphans.is_empty() || (resync.room_kept.is_none() && !self.works.iter().all(found))
    }

    fn compare(&mut self, turn: &mut Turn<'_>) {
        let resync = self.resync.as_mut().expect("it is resync that compares");
        resync.phase = Phase::Comparing;
        let (to, after) = (resync.to, resync.after());
        let replica = self.view.as_ref().expect("it serves").replica(to);
        let ask = ComparePage { replica, after, limit: PAGE_MAX };
        self.send(turn, to, Call::Page, Ask::Page(ask));
    }

    fn finish(&mut self, turn: &mut Turn<'_>) {
        let resync = self.resync.as_mut().expect("it is resync that finishes");
        assert!(resync.owed.is_empty() && resync.room_kept.is_none(), "nothing is owed");
        (resync.phase, resync.told) = (Phase::Finishing, true);
        let to = resync.to;
        let replica = self.view.as_ref().expect("it serves").replica(to);
        self.send(turn, to, Call::Finish, Ask::Finish(FinishSync { replica }));
    }

    /// Holds the syncing member's page against what is committed here.
    pub(super) fn page_answered(&mut self, turn: &mut Turn<'_>, theirs: &ComparePageReply) {
        let Some(resync) = &mut self.resync else { return };
        let ours = turn.chunks.page(resync.after(), PAGE_MAX as usize);
        let mut page = Settled::All;
        if ours.len() == PAGE_MAX as usize {
            page = page.min(ours.last().map_or(Settled::All, |(chunk, _)| Settled::UpTo(*chunk)));
        }
        if !theirs.end {
            let Some(last) = theirs.chunks.last() else {
                return self.resync_again(turn.now);
            };
            page = page.min(Settled::UpTo(last.chunk));
        }
        let mut differing: BTreeMap<ChunkId, Option<ChunkSummary>> = ours
            .iter()
            .filter_map(|(chunk, state)| Some((*chunk, Some(summary(*chunk, state)?))))
            .collect();
        for chunk in &theirs.chunks {
            match differing.get(&chunk.chunk) {
                Some(Some(here)) if here == chunk => drop(differing.remove(&chunk.chunk)),
                Some(_) => {}
                None => drop(differing.insert(chunk.chunk, None)),
            }
        }
        let differs = differing.into_keys().filter(|chunk| Settled::UpTo(*chunk) <= page);
        resync.differing = differs.filter(|chunk| !resync.is_ahead(*chunk)).collect();
        resync.phase = Phase::Transfer { page };
    }

    /// Transfers the page's chunks, a few at a time; then the page is settled. Where room is kept, those that
    /// take it are passed over, as are those of which a version goes without the syncing member: that is owed
    /// them, or, where room is kept, will be found to lack them.
    fn transfer_page(&mut self, turn: &mut Turn<'_>, page: Settled) {
        while let Some(resync) = &mut self.resync {
            if resync.of_page.len() >= TRANSFERS_MAX {
                return;
            }
            let Some(chunk) = resync.differing.pop_front() else { break };
            let begun = resync.is_ahead(chunk) || resync.owed.has(chunk);
            let full = resync.room_kept.is_some() && bytes_of(turn, chunk).is_some();
            if begun || full || self.ends_here(chunk) {
                continue;
            }
            if let Some(resync) = &mut self.resync {
                resync.of_page.insert(chunk);
            }
            self.begin_transfer(turn, chunk);
        }
        if let Some(resync) = &mut self.resync {
            resync.end_page(page, turn.now);
        }
    }

    pub(super) fn resync_again(&mut self, now: Millis) {
        let again = now.after(AGAIN_MS);
        if let Some(resync) = &mut self.resync {
            resync.phase = match resync.phase {
                Phase::Finishing => Phase::Finish { again },
                _ => Phase::Compare { again },
            };
        }
    }

    pub(super) fn resync_finished(&mut self) {
        if let Some(resync) = &mut self.resync {
            resync.phase = Phase::Done;
        }
    }
}
