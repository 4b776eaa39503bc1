//! A way to one other member: what the driver says to it goes out here, many messages in one request.
//!
//! ```text
//!   driver ── queue ──► carry ──┬─ Tell, some at a time ──► the other member's driver
//!                               └─ Install, one ──────────► fetches the files by FetchPiece, then its driver
//! ```
//!
//! What cannot be delivered is told the driver and forgotten. Requests are sent in the order of the queue;
//! Raft takes in what overtakes, at some cost. A state that is not taken is told after a pause that grows: Raft would
//! offer it again with the next tick. One that is of no use any more is withdrawn, which its receiver sees: it drops what
//! it has of it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use emberfs_buffer::Crc32c;
use emberfs_meta_server_consensus::MemberId;
use emberfs_transport::link::LinkState;
use emberfs_transport::{CallOptions, Link, Peer};
use emberfs_wire::group::{Install, MemberMessage, Tell};
use emberfs_wire::limits::MEMBER_MESSAGES_MAX;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::post::{Parcel, Parcels};
use super::snapshots::Offer;
use super::undelivered::{Undelivered, wish};
use super::{Group, Machine};
use crate::store::Checkpoint;

/// Requests that wait for their answers (a count): so that what comes during a round trip does not wait for its
/// end. More would only be reordered.
const TELLS_IN_FLIGHT: usize = 4;
/// A request takes no further message beyond so many bytes of data: what else goes over the connection waits for those
/// that are on their way.
const TELL_BYTES: usize = 1 << 20;
/// Nor beyond so many entries (a count): what says of each where it stands must fit one message.
const TELL_ENTRIES: usize = 1 << 14;
/// How long a member that takes nothing in is waited for. An election takes about as long.
const TELL_WAIT: Duration = Duration::from_secs(1);

/// The first pause before a state is offered again to one that did not take it: it may take in another just now.
const OFFER_PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest: how long after its hindrance is gone a member may go without, as when its disk was full.
const OFFER_PAUSE_MAX: Duration = Duration::from_secs(3);

/// Carries what waits for `to`, until nobody has anything to say to it any more.
pub(crate) async fn carry<M: Machine>(
    group: Group<M>,
    to: MemberId,
    mut parcels: Parcels,
    link: Link,
) {
    let mut told = JoinSet::new();
    let mut installing: Option<AbortHandle> = None;
    let failed = Arc::new(AtomicU32::new(0));
    while let Some(first) = parcels.recv().await {
        let mut tell = Draft::default();
        let mut next = Some(first);
        while let Some(Parcel { message, data, snapshot, .. }) = next.take() {
            if let Some(offered) = snapshot {
                // One that is under way is of no use any more.
                installing.take().inspect(AbortHandle::abort);
                let (group, link, failed) = (group.clone(), link.clone(), failed.clone());
                let offer = async move {
                    let to = message.to;
                    let sent = offer(&link, message, offered, &failed).await;
                    group.snapshot_sent(to, sent);
                };
                installing = Some(told.spawn(offer));
            } else {
                tell.add(message, &data);
            }
            if !tell.is_full() {
                next = parcels.try_recv().ok();
            }
        }
        if tell.messages.is_empty() {
            continue;
        }
        let LinkState::Up { peer, .. } = link.state() else {
            group.unreachable(to);
            continue;
        };
        while told.len() >= TELLS_IN_FLIGHT {
            told.join_next().await;
        }
        let (group, (request, payload)) = (group.clone(), tell.finish());
        let mut sent = Box::pin(async move {
            if !tell_now(&peer, &request, payload).await {
                group.unreachable(to);
            }
        });
        // Polled here once, so that requests go out in order.
        if poll_fn(|cx| Poll::Ready(sent.as_mut().poll(cx))).await.is_pending() {
            told.spawn(sent);
        }
        while told.try_join_next().is_some() {}
    }
}

/// Whether they have arrived, as far as is known.
async fn tell_now(peer: &Peer, tell: &Tell, payload: Bytes) -> bool {
    let options = CallOptions { wait: Some(TELL_WAIT), ..CallOptions::default() };
    peer.call(tell, payload, &options).await.is_ok()
}

/// Has the receiver of `message` fetch the state that it names and take both in. If it does not, some time has passed in
/// which it need not refuse another, unless the offer is withdrawn: what it had said by then stands.
///
/// # Errors
/// Why it does not.
async fn offer(
    link: &Link,
    message: MemberMessage,
    offered: Offer,
    failed: &AtomicU32,
) -> Result<(), Undelivered> {
    let to = message.to;
    let (snapshot, withdrawn) = offered.into_parts();
    let mut withdrawn = pin!(withdrawn);
    let sent = tokio::select! {
        biased;
        sent = install(link, message, &snapshot) => sent,
        () = &mut withdrawn => {
            tracing::info!(member = to.get(), "the state is of no use to it any more");
            return Err(Undelivered::NotSent("it is of no use any more".to_owned()));
        }
    };
    // The files are not held open meanwhile.
    drop(snapshot);
    let Err(Untaken { why, wish }) = sent else {
        failed.store(0, Ordering::Relaxed);
        return Ok(());
    };
    let pause = sleep(offer_pause(failed.fetch_add(1, Ordering::Relaxed), wish));
    tokio::select! {
        () = pause => {}
        () = withdrawn => {}
    }
    Err(why)
}

/// A state was not taken.
struct Untaken {
    why: Undelivered,
    /// What the receiver wishes for before the next.
    wish: Duration,
}

/// How long to wait after so many offers in a row that were not taken before this one; the receiver may wish for more.
fn offer_pause(failed: u32, wish: Duration) -> Duration {
    let grown = OFFER_PAUSE_MIN.saturating_mul(1 << failed.min(16));
    grown.max(wish).min(OFFER_PAUSE_MAX)
}

/// One offer.
async fn install(
    link: &Link,
    message: MemberMessage,
    snapshot: &Checkpoint,
) -> Result<(), Untaken> {
    let to = message.to;
    let LinkState::Up { peer, .. } = link.state() else {
        let why = Undelivered::NotSent("it is not connected".to_owned());
        return Err(Untaken { why, wish: Duration::ZERO });
    };
    let install = Install { message, files: snapshot.files().to_vec() };
    tracing::info!(member = to.get(), snapshot = ?snapshot.name(), "sending the state");
    // As long as the connection stands: how large the state is, only its owner knows.
    let Err(error) = peer.call(&install, Bytes::new(), &CallOptions::default()).await else {
        return Ok(());
    };
    tracing::warn!(member = to.get(), %error, "the state did not arrive");
    Err(Untaken { why: (&error).into(), wish: wish(&error) })
}

/// A request in the making.
#[derive(Default)]
struct Draft {
    messages: Vec<MemberMessage>,
    entries: usize,
    payload: BytesMut,
}

impl Draft {
    fn add(&mut self, mut message: MemberMessage, data: &[Bytes]) {
        for (head, data) in message.entries.iter_mut().zip(data) {
            head.crc = Crc32c::of(data).0;
            self.payload.extend_from_slice(data);
        }
        self.entries += message.entries.len();
        self.messages.push(message);
    }

    fn is_full(&self) -> bool {
        self.payload.len() >= TELL_BYTES
            || self.entries >= TELL_ENTRIES
            || self.messages.len() >= MEMBER_MESSAGES_MAX
    }

    fn finish(self) -> (Tell, Bytes) {
        (Tell { messages: self.messages }, self.payload.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_not_taken_is_offered_less_and_less_often() {
        let (none, second) = (Duration::ZERO, Duration::from_secs(1));
        let pauses: Vec<_> = (0..40).map(|failed| offer_pause(failed, none)).collect();
        assert_eq!((pauses[0], pauses[1]), (OFFER_PAUSE_MIN, 2 * OFFER_PAUSE_MIN));
        assert!(pauses.is_sorted());
        assert_eq!(pauses[39], OFFER_PAUSE_MAX);
        assert_eq!(offer_pause(0, second), second, "it knows how long it takes");
        assert_eq!(offer_pause(0, Duration::MAX), OFFER_PAUSE_MAX);
    }
}
