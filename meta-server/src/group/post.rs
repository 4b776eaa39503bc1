//! What the driver has to say to other members: two bounded queues each, in which it never waits. Entries and states have
//! one to themselves: a heartbeat that waits behind them for too long costs the leader its lease.
//!
//! What finds no room is dropped, and the driver is told: messages may be lost, and Raft sends entries again
//! when it knows. The room is for what a busy leader says during a stall of some hundred milliseconds; more
//! would only be late.

use std::collections::BTreeMap;

use bytes::Bytes;
use emberfs_meta_server_consensus::{MemberId, PeerMessage};
use emberfs_wire::group::{MemberMessage, MessageKind};
use tokio::sync::mpsc;

use super::room::{Room, Taken};
use super::snapshots::Offer;

/// Most data that waits on one way, in bytes.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Most messages that wait on one way (a count): with the least room that each takes, no fewer fit.
const QUEUE_MAX: usize = 4096;

/// Where messages to the other members go.
#[derive(Debug, Default)]
pub(crate) struct Post {
    ways: BTreeMap<MemberId, Ways>,
}

/// The ways to one member.
#[derive(Debug)]
struct Ways {
    /// Of entries, and of states.
    bulk: Way,
    /// Of all else.
    words: Way,
}

#[derive(Debug)]
struct Way {
    parcels: mpsc::Sender<Parcel>,
    room: Room,
}

impl Way {
    fn new() -> (Self, Parcels) {
        let (parcels, end) = mpsc::channel(QUEUE_MAX);
        (Self { parcels, room: Room::new(QUEUE_BYTES_MAX) }, end)
    }
}

/// What waits on one way, in order.
pub(crate) type Parcels = mpsc::Receiver<Parcel>;

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) message: MemberMessage,
    /// The data of its entries, in order.
    pub(crate) data: Vec<Bytes>,
    /// The state that it names, to go before it.
    pub(crate) snapshot: Option<Offer>,
    _room: Taken,
}

impl Post {
    /// Queues for these members, and their other ends: two for each.
    pub(crate) fn new(
        members: impl IntoIterator<Item = MemberId>,
    ) -> (Self, Vec<(MemberId, Parcels)>) {
        let (mut ways, mut ends) = (BTreeMap::new(), Vec::new());
        for member in members {
            let ((bulk, first), (words, second)) = (Way::new(), Way::new());
            ways.insert(member, Ways { bulk, words });
            ends.extend([(member, first), (member, second)]);
        }
        (Self { ways }, ends)
    }

    /// Puts a message on its way, after the state that it names; whether there was room for it.
    pub(super) fn send(&self, message: PeerMessage, snapshot: Option<Offer>) -> bool {
        let Some(Ways { bulk, words }) = self.ways.get(&message.to()) else { return false };
        let (message, data) = message.into_parts();
        // In the order of entries, though some say only what is committed: what overtakes them is refused.
        let is_bulk = matches!(message.kind, MessageKind::Append | MessageKind::Snapshot);
        let Way { parcels, room } = if is_bulk { bulk } else { words };
        let Some(room) = room.try_take(data.iter().map(Bytes::len).sum()) else { return false };
        parcels.try_send(Parcel { message, data, snapshot, _room: room }).is_ok()
    }
}
