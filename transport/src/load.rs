//! What this process served for clients over its last seconds, from what it counts.

use std::time::{Duration, Instant};

use emberfs_layout::ByteLen;
use emberfs_metrics::window::{Window, rate};
use emberfs_metrics::{table, total};
use emberfs_wire::handshake::Role;
use emberfs_wire::load::NodeLoad;

use crate::metered::{PEERS, peer};

/// Looked at now and then, by one who wants to know.
#[derive(Clone, Debug, Default)]
pub struct LoadWindow {
    window: Window<Totals>,
}

/// Of all clients, since the process began.
#[derive(Clone, Copy, Debug)]
struct Totals {
    requests: u64,
    received: u64,
    sent: u64,
}

impl Totals {
    fn now() -> Self {
        let of_client = |labels: &[&str]| labels[1] == PEERS[peer(Role::Client)];
        Self {
            requests: total(&table::RPC_REQUESTS, of_client),
            received: total(&table::RPC_RECEIVED_BYTES, of_client),
            sent: total(&table::RPC_SENT_BYTES, of_client),
        }
    }

    fn since(self, before: Self, time: Duration) -> NodeLoad {
        let a_second = |now: u64, then: u64| rate(now.saturating_sub(then), time);
        NodeLoad {
            window_ms: u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
            requests: u32::try_from(a_second(self.requests, before.requests)).unwrap_or(u32::MAX),
            received: ByteLen(a_second(self.received, before.received)),
            sent: ByteLen(a_second(self.sent, before.sent)),
        }
    }
}

impl LoadWindow {
    /// What was done in the last seconds; `None` while it is too early to say.
    pub fn note(&mut self, now: Instant) -> Option<NodeLoad> {
        let totals = Totals::now();
        let (time, before) = self.window.note(now, totals)?;
        Some(totals.since(*before, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_second_s() {
        let before = Totals { requests: 1, received: 10, sent: 100 };
        let now = Totals { requests: 21, received: 2010, sent: 100 };
        let load = now.since(before, Duration::from_secs(2));
        let expected =
            NodeLoad { window_ms: 2000, requests: 10, received: ByteLen(1000), sent: ByteLen(0) };
        assert_eq!(load, expected);
        let (mut window, begin) = (LoadWindow::default(), Instant::now());
        assert_eq!(window.note(begin), None);
        assert!(window.note(begin + Duration::from_secs(1)).is_some());
    }
}
