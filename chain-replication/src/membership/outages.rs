//! For how long the tail of a last serving set is waited for.

use std::collections::BTreeMap;

use emberfs_layout::ChainId;
use emberfs_wire::cluster::{Chain, PublicState};

use crate::target::Millis;

/// How long, in milliseconds, the tail of a last serving set may be away before another member may serve:
/// long enough for a server to restart, short enough for people to wait.
pub const TAIL_FIRST_MS: u64 = 60_000;

/// The chains of which no member serves, and since when, by one leader's clock.
#[derive(Clone, Debug, Default)]
pub struct Outages {
    since: BTreeMap<ChainId, Millis>,
}

impl Outages {
    /// Whether only the tail may serve again. To be asked each time before [`next`](super::next).
    pub fn tail_first(&mut self, chain: &Chain, now: Millis) -> bool {
        if chain.members.iter().any(|member| member.state == PublicState::Serving) {
            self.since.remove(&chain.id);
            return true;
        }
        let since = self.since.entry(chain.id).or_insert(now);
        now < since.after(TAIL_FIRST_MS)
    }
}
