//! Questions for confirmation: one round at a time, for all that wait when it begins.

use crate::ids::ConfirmId;

/// Those that have no answer yet.
#[derive(Default)]
pub(crate) struct Questions {
    waiting: Vec<ConfirmId>,
    asked: Option<Vec<ConfirmId>>,
    round: u64,
}

impl Questions {
    /// One more, for the next round.
    pub(crate) fn put(&mut self, id: ConfirmId) {
        self.waiting.push(id);
    }

    /// Begins a round, if one is wanted and none is under way; gives what names it.
    pub(crate) fn begin(&mut self) -> Option<Vec<u8>> {
        if self.asked.is_some() || self.waiting.is_empty() {
            return None;
        }
        self.asked = Some(std::mem::take(&mut self.waiting));
        self.round += 1;
        Some(self.name())
    }

    /// The round of this name is answered: what it was for; nothing if it is not the one under way.
    pub(crate) fn answered(&mut self, name: &[u8]) -> Option<Vec<ConfirmId>> {
        if name == self.name() { self.asked.take() } else { None }
    }

    /// Those that have no answer, and will get none.
    pub(crate) fn give_up(&mut self) -> Vec<ConfirmId> {
        let mut all = self.asked.take().unwrap_or_default();
        all.append(&mut self.waiting);
        all
    }

    fn name(&self) -> Vec<u8> {
        self.round.to_be_bytes().to_vec()
    }
}
