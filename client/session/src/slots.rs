//! The slots of a session: how many mutations it may have under way, each with its own count.
//!
//! A slot is taken for one mutation, and given back only when that has its reply: the server keeps the last
//! reply of each slot, and a number that came late or was skipped would be a fault.

use emberfs_layout::{ClientId, Sequence};
use emberfs_wire::meta::Slot;

/// The slots of one session.
#[derive(Clone, Debug)]
pub struct Slots {
    client: ClientId,
    /// The last number used in each slot.
    last: Vec<Sequence>,
    free: Vec<u16>,
}

impl Slots {
    /// `count` slots, none used yet.
    #[must_use]
    pub fn new(client: ClientId, count: u16) -> Self {
        let last = vec![Sequence::NONE; count.into()];
        Self { client, last, free: (0..count).rev().collect() }
    }

    /// A slot with its next number; `None` while all are taken.
    pub fn take(&mut self) -> Option<Slot> {
        let slot = self.free.pop()?;
        let last = &mut self.last[usize::from(slot)];
        *last = last.next();
        Some(Slot { client: self.client, slot, sequence: *last })
    }

    /// The mutation in `slot` has its reply.
    pub fn answered(&mut self, slot: Slot) {
        assert_eq!(self.last[usize::from(slot.slot)], slot.sequence, "its last number");
        assert!(!self.free.contains(&slot.slot), "given back once");
        self.free.push(slot.slot);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_slot_counts_without_a_gap_and_holds_one(
            count in 1_u16..5,
            steps in prop::collection::vec(any::<Option<prop::sample::Index>>(), 0..100),
        ) {
            let mut slots = Slots::new(ClientId(3), count);
            let mut seen = vec![0; count.into()];
            let mut taken: Vec<Slot> = Vec::new();
            for step in steps {
                match step {
                    None => match slots.take() {
                        Some(slot) => {
                            let last = &mut seen[usize::from(slot.slot)];
                            *last += 1;
                            prop_assert_eq!(slot.sequence, Sequence(*last));
                            prop_assert!(taken.iter().all(|other| other.slot != slot.slot));
                            taken.push(slot);
                        }
                        None => prop_assert_eq!(taken.len(), usize::from(count)),
                    },
                    Some(which) if !taken.is_empty() => {
                        slots.answered(taken.swap_remove(which.index(taken.len())));
                    }
                    Some(_) => {}
                }
            }
        }
    }
}
