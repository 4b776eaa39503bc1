//! What a listener says in its log of the connections that come to nothing: of peers that it refuses, and of those that
//! it or the system has no room for.
//!
//! A peer that does not fit dials again every few seconds, for ever, and there may be thousands of them. So each kind
//! is a warning at most once a minute; what comes between is for whoever looks closer, at `debug`.

use std::collections::HashMap;
use std::io;
use std::mem::{Discriminant, discriminant};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use emberfs_wire::handshake::{Identity, Refusal};
use tokio::time::Instant;

/// Between two warnings of a kind: often enough for whoever mends it to see whether it goes on.
const PAUSE: Duration = Duration::from_secs(60);

/// When a listener last warned of each kind of refusal.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<Kind, Instant>>);

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// The peer does not fit.
    Unfit(Discriminant<Refusal>),
    /// The system gives no connection.
    NotAccepted,
    /// The listener has as many as it takes.
    Full,
}

impl Refusals {
    /// Logs that the system does not hand over a connection that is there.
    pub fn not_accepted(&self, error: &io::Error) {
        if self.is_due(Kind::NotAccepted) {
            tracing::warn!(%error, "cannot accept a connection");
        } else {
            tracing::debug!(%error, "cannot accept a connection");
        }
    }

    /// Logs that there is no room for a connection: `max` are open.
    pub fn full(&self, from: SocketAddr, max: usize) {
        if self.is_due(Kind::Full) {
            tracing::warn!(%from, max, "too many connections");
        } else {
            tracing::debug!(%from, max, "too many connections");
        }
    }

    /// Logs that `peer` is refused.
    pub fn log(&self, peer: &Identity, refusal: &Refusal) {
        if self.warns(refusal) {
            tracing::warn!(?peer, %refusal, "refused a connection");
        } else {
            tracing::debug!(?peer, %refusal, "refused a connection");
        }
    }

    /// Whether it is time to warn of such a one.
    fn warns(&self, refusal: &Refusal) -> bool {
        // They pass by themselves.
        let passes = matches!(refusal, Refusal::Unavailable { .. } | Refusal::OtherNode { .. });
        !passes && self.is_due(Kind::Unfit(discriminant(refusal)))
    }

    /// Whether it is time to warn of this kind; if so, the next pause begins.
    fn is_due(&self, kind: Kind) -> bool {
        let now = Instant::now();
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = warned.get(&kind);
        let due = last.is_none_or(|last| now - *last >= PAUSE);
        if due {
            warned.insert(kind, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_layout::{ClusterId, NodeId};
    use emberfs_wire::handshake::Role;

    #[tokio::test(start_paused = true)]
    async fn each_kind_is_a_warning_once_a_minute() {
        let refusals = Refusals::default();
        let cluster = |theirs| {
            let (ours, theirs) = (ClusterId(1), ClusterId(theirs));
            refusals.warns(&Refusal::OtherCluster { ours, theirs })
        };
        let role = Refusal::OtherRole { ours: Role::Meta, expected: Role::Storage };
        assert!(cluster(2) && !cluster(2) && !cluster(3), "whoever the peer is");
        assert!(refusals.warns(&role) && !refusals.warns(&role));
        let second = Duration::from_secs(1);
        tokio::time::advance(PAUSE - second).await;
        assert!(!cluster(2));
        tokio::time::advance(second).await;
        assert!(cluster(2) && !cluster(2) && refusals.warns(&role));
        let passing = [
            Refusal::Unavailable { text: "no lease yet".to_owned() },
            Refusal::OtherNode { ours: None, expected: NodeId(1) },
        ];
        assert!(!passing.iter().any(|refusal| refusals.warns(refusal)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_there_is_no_room_for_is_a_warning_once_a_minute() {
        let refusals = Refusals::default();
        let due = |kind| (refusals.is_due(kind), refusals.is_due(kind));
        assert_eq!([due(Kind::NotAccepted), due(Kind::Full)], [(true, false); 2], "each by itself");
        // As often as a listener tries again where descriptors are used up.
        for _ in 0..599 {
            tokio::time::advance(Duration::from_millis(100)).await;
            assert!(!refusals.is_due(Kind::NotAccepted));
        }
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!([due(Kind::NotAccepted), due(Kind::Full)], [(true, false); 2]);
    }
}
