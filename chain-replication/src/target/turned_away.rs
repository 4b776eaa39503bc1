//! Sessions whose first open request a chunk full of tags turned away: they go before others.
//!
//! A session has the tag of its last change settled by its next request, and would take the place that it just made,
//! again and again: those that never pause would keep all others out. So whoever was turned away stands in line, and
//! a request is let in only where those that stand before it find a place too; one whose session does not stand there
//! has all of them before it. The line keeps half of the places at most: the rest is for whoever comes, should those
//! that stand there have gone.
//!
//! It is about turns, not about safety: what is not let in has not happened, and is asked again. Whoever is forgotten
//! here begins at the end.

use std::collections::{BTreeMap, VecDeque};

use emberfs_layout::{ChunkId, ClientId};
use emberfs_wire::Tag;

use super::input::Millis;
use super::limits::{TURNED_AWAY_MAX, TURNED_AWAY_MS};
use super::tags::Tags;

#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    lines: BTreeMap<ChunkId, VecDeque<Standing>>,
    /// How many stand in all lines.
    count: usize,
}

#[derive(Debug)]
struct Standing {
    /// The first open request of its session when that last asked.
    tag: Tag,
    at: Millis,
}

impl TurnedAway {
    /// How many stand before this session.
    pub(super) fn before(&self, chunk: ChunkId, client: ClientId) -> usize {
        let Some(line) = self.lines.get(&chunk) else { return 0 };
        line.iter().position(|standing| standing.tag.client == client).unwrap_or(line.len())
    }

    /// A first request was turned away: its session stands at the end, or where it stood.
    pub(super) fn stand(&mut self, now: Millis, chunk: ChunkId, tag: Tag) {
        let line = self.lines.get_mut(&chunk);
        let place = line.and_then(|line| line.iter_mut().find(|s| s.tag.client == tag.client));
        match place {
            Some(place) => *place = Standing { tag, at: now },
            None if self.count == TURNED_AWAY_MAX => {}
            None => {
                self.lines.entry(chunk).or_default().push_back(Standing { tag, at: now });
                self.count += 1;
            }
        }
    }

    /// The session is let in.
    pub(super) fn leave(&mut self, chunk: ChunkId, client: ClientId) {
        let Some(line) = self.lines.get_mut(&chunk) else { return };
        self.count -= line.len();
        line.retain(|standing| standing.tag.client != client);
        self.count += line.len();
        if line.is_empty() {
            self.lines.remove(&chunk);
        }
    }

    /// Drops those that want it no more, or have not asked for a while.
    pub(super) fn expire(&mut self, now: Millis, tags: &Tags) {
        let comes = |standing: &Standing| now < standing.at.after(TURNED_AWAY_MS);
        self.lines.retain(|_, line| {
            line.retain(|standing| comes(standing) && !tags.is_over(standing.tag));
            !line.is_empty()
        });
        self.count = self.lines.values().map(VecDeque::len).sum();
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
