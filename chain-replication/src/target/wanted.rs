//! Sessions whose marks are asked for: their tags fill a chunk that others would change.
//!
//! A mark comes with the writes of its session. One that writes no more would tell none as long as it lives, and
//! its tags would hold the others up: so the leader, whom its renewals tell, is asked.

use std::collections::BTreeMap;

use emberfs_layout::ClientId;
use emberfs_wire::cluster::SessionMark;

use super::Target;
use super::input::Millis;
use super::limits::{WANTED_MAX, WANTED_MS};
use super::tags::Tags;

#[derive(Debug, Default)]
pub(super) struct WantedMarks {
    /// When their tags were last in the way.
    at: BTreeMap<ClientId, Millis>,
}

impl WantedMarks {
    /// The tags of these are in the way of a change.
    pub(super) fn ask(&mut self, now: Millis, clients: impl Iterator<Item = ClientId>) {
        for client in clients {
            if self.at.len() < WANTED_MAX || self.at.contains_key(&client) {
                self.at.insert(client, now);
            }
        }
    }

    /// Drops those whose tags are gone, or were in nobody's way for a while.
    pub(super) fn expire(&mut self, now: Millis, tags: &Tags) {
        self.at.retain(|client, at| now < at.after(WANTED_MS) && tags.has_any_of(*client));
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.at.keys().copied()
    }
}

impl Target {
    /// Learns marks of its chain that settle nothing which went by a newer version of it (see `tags`).
    pub(super) fn on_marks(&mut self, marks: &[SessionMark]) {
        let Some(view) = &self.view else { return };
        let learnt =
            marks.iter().filter(|mark| mark.chain == view.id && mark.version <= view.version);
        learnt.for_each(|mark| self.tags.learn(mark.client, mark.low_water));
    }
}
