//! What the driver has to say to other members: a bounded queue each, in which it never waits.
//!
//! What finds no room is dropped, and the driver is told: messages may be lost, and Raft sends entries again
//! when it knows. The room is for what a busy leader says during a stall of some hundred milliseconds; more
//! would only be late.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use emberfs_meta_server_consensus::{MemberId, PeerMessage};
use emberfs_wire::group::MemberMessage;
use tokio::sync::mpsc;

use super::room::{Room, Taken};
use crate::store::Checkpoint;

/// Most data that waits for one member, in bytes.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Most messages that wait for one member (a count): with the least room that each takes, no fewer fit.
const QUEUE_MAX: usize = 4096;

/// Where messages to the other members go.
#[derive(Debug, Default)]
pub(crate) struct Post {
    ways: BTreeMap<MemberId, Way>,
}

#[derive(Debug)]
struct Way {
    parcels: mpsc::Sender<Parcel>,
    room: Room,
}

/// What waits for one member, in order.
pub(crate) type Parcels = mpsc::Receiver<Parcel>;

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) message: MemberMessage,
    /// The data of its entries, in order.
    pub(crate) data: Vec<Bytes>,
    /// The state that it names, to go before it.
    pub(crate) snapshot: Option<Arc<Checkpoint>>,
    _room: Taken,
}

impl Post {
    /// Queues for these members, and their other ends.
    pub(crate) fn new(
        members: impl IntoIterator<Item = MemberId>,
    ) -> (Self, Vec<(MemberId, Parcels)>) {
        let (mut ways, mut ends) = (BTreeMap::new(), Vec::new());
        for member in members {
            let (parcels, end) = mpsc::channel(QUEUE_MAX);
            ways.insert(member, Way { parcels, room: Room::new(QUEUE_BYTES_MAX) });
            ends.push((member, end));
        }
        (Self { ways }, ends)
    }

    /// Puts a message on its way, after the state that it names; whether there was room for it.
    pub(super) fn send(&self, message: PeerMessage, snapshot: Option<Arc<Checkpoint>>) -> bool {
        let Some(Way { parcels, room }) = self.ways.get(&message.to()) else { return false };
        let (message, data) = message.into_parts();
        let Some(room) = room.try_take(data.iter().map(Bytes::len).sum()) else { return false };
        parcels.try_send(Parcel { message, data, snapshot, _room: room }).is_ok()
    }
}
