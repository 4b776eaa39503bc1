//! What goes wrong with members of the metadata group, drawn for a scenario.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::metadata::MEMBERS;
use crate::network::Address;
use crate::scenario::{FAULTS_MS, Fault};

/// A member of the metadata group.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Member(usize),
    /// Whoever leads then.
    Leader,
}

/// All members of the metadata group.
pub(crate) fn group() -> Vec<Address> {
    (0..MEMBERS).map(Address::Member).collect()
}

/// A fault of the metadata group with its time, and the end of it where it has one.
pub(crate) fn group_fault(rng: &mut StdRng) -> Vec<(u64, Fault)> {
    let at = rng.random_range(800..FAULTS_MS);
    let ms =
        if rng.random_bool(0.3) { rng.random_range(1..400) } else { rng.random_range(400..4_000) };
    let member = Who::Member(rng.random_range(0..MEMBERS));
    let who = if rng.random_bool(0.7) { Who::Leader } else { member };
    let fault = match rng.random_range(0..10) {
        0..3 => Fault::MemberCrashes { who, down_ms: ms },
        3 => Fault::GroupCrashes { down_ms: ms },
        4..6 => Fault::MemberHangs { who, ms },
        6..8 => return vec![(at, Fault::MemberCut { who }), (at + ms, Fault::Mend)],
        _ => Fault::LeaderHandsOver,
    };
    vec![(at, fault)]
}
