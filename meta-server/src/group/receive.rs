//! A member that lags too far gets the state itself: this side fetches it, piece by piece, and hands it to the
//! driver with the message that names it. What comes by an earlier offer gives way ([`Berth`](super::berth::Berth)).

use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Crc32c;
use emberfs_meta_server_consensus::PeerMessage;
use emberfs_transport::{CallError, CallOptions, Peer};
use emberfs_wire::WireError;
use emberfs_wire::group::{FetchPiece, Install, InstallReply, SnapshotFile, SnapshotName};
use emberfs_wire::limits::SNAPSHOT_PIECE_MAX;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::berth::Place;
use super::{Group, Machine};
use crate::store::{Incoming, OpenError, Received};

/// How long one piece is waited for: the sender reads it from its disk.
const PIECE_WAIT: Duration = Duration::from_secs(10);
/// How soon a sender is to come again whose state finds no place, in milliseconds.
const BUSY_MS: u32 = 1_000;
/// How long one waits for its place: an earlier one is removed, or installed.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// A state that is here as a whole.
#[derive(Debug)]
pub(crate) struct Delivery {
    received: Received,
    place: Place,
}

impl Delivery {
    /// The state, and what is to be dropped after it.
    pub(super) fn into_parts(self) -> (Received, Place) {
        (self.received, self.place)
    }
}

/// A state that is coming. Dropped, it is removed where nobody waits for that; its folder goes before its place is free
/// again.
struct Coming(Option<(Incoming, Place)>);

impl Coming {
    fn incoming(&self) -> &Incoming {
        let (incoming, _) = self.0.as_ref().expect("only taken out at the end");
        incoming
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        // Without a runtime nobody waits.
        if let (Some(coming), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(coming));
        }
    }
}

/// Why a state did not come.
#[derive(Debug, Error)]
enum FetchError {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("a piece of `{name}` at {offset} is not what was sent")]
    Piece { name: String, offset: u64 },
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("{name}: {source}")]
    File { name: String, source: std::io::Error },
    #[error("another state is being installed or removed")]
    NoPlace,
    #[error("another state is offered since, by the same leader or a later one")]
    Superseded,
    #[error("a later leader offers its own")]
    Deposed,
}

impl FetchError {
    /// What the sender is told of it.
    fn told(&self) -> WireError {
        let text = self.to_string();
        match self {
            Self::Store(_) | Self::File { .. } => WireError::Wait { text },
            Self::Call(_)
            | Self::Piece { .. }
            | Self::NoPlace
            | Self::Superseded
            | Self::Deposed => WireError::Retry { after_ms: BUSY_MS, text },
        }
    }
}

/// Fetches what `asked` names from `sender`, and hands both on.
///
/// # Errors
/// [`WireError::Retry`]: it does not arrive, and the sender may try again. [`WireError::Wait`]: this member cannot take it
/// in, nor another before somebody has mended why.
pub(crate) async fn install<M: Machine>(
    group: &Group<M>,
    sender: &Peer,
    asked: Install,
) -> Result<InstallReply, WireError> {
    let Install { message, files } = asked;
    let message = PeerMessage::from_parts(message, Vec::new());
    let message = message.map_err(|error| WireError::bug(error.to_string()))?;
    let name = message.snapshot().ok_or_else(|| WireError::bug("no state is named"))?;
    let claim = group.berth().claim(message.term());
    let mut claim = claim.ok_or_else(|| FetchError::Deposed.told())?;
    tracing::info!(from = message.from().get(), snapshot = ?name, "fetching the state");
    let place = claim.place(PLACE_WAIT).await.ok_or(FetchError::NoPlace);
    let fetched = async { fetch(group, sender, name, files, place?).await };
    let fetched = tokio::select! {
        biased;
        () = claim.superseded() => Err(FetchError::Superseded),
        fetched = fetched => fetched,
    };
    match fetched {
        Ok(delivery) => group.hear(message, 0, Some(delivery)).await,
        Err(error) => {
            tracing::warn!(from = message.from().get(), %error, "the state does not come");
            return Err(error.told());
        }
    }
    Ok(InstallReply {})
}

async fn fetch<M: Machine>(
    group: &Group<M>,
    sender: &Peer,
    name: SnapshotName,
    files: Vec<SnapshotFile>,
    place: Place,
) -> Result<Delivery, FetchError> {
    let inbox = group.inbox().clone();
    let begin = move || Ok(Coming(Some((inbox.begin(files)?, place))));
    let mut coming = blocking::<_, OpenError>(begin).await?;
    for SnapshotFile { name: file, len } in coming.incoming().files().to_vec() {
        let mut offset = 0;
        while offset < len {
            let most = (len - offset).min(u64::from(SNAPSHOT_PIECE_MAX));
            let len = u32::try_from(most).expect("at most as long as a piece");
            let asked = FetchPiece { snapshot: name.id, name: file.clone(), offset, len };
            let piece = fetch_piece(sender, &asked).await?;
            coming = put(coming, asked, piece).await?;
            offset += most;
        }
    }
    let complete = move || {
        let (incoming, place) = coming.0.take().expect("only taken out here");
        let received = incoming.complete(name.position)?;
        Ok(Delivery { received, place })
    };
    Ok(blocking::<_, OpenError>(complete).await?)
}

async fn fetch_piece(sender: &Peer, asked: &FetchPiece) -> Result<Bytes, FetchError> {
    let options = CallOptions { wait: Some(PIECE_WAIT), ..CallOptions::default() };
    let reply = sender.call(asked, Bytes::new(), &options).await?;
    let whole = reply.payload.len() == asked.len as usize;
    if !whole || Crc32c::of(&reply.payload).0 != reply.message.crc {
        return Err(FetchError::Piece { name: asked.name.clone(), offset: asked.offset });
    }
    Ok(reply.payload)
}

async fn put(coming: Coming, at: FetchPiece, piece: Bytes) -> Result<Coming, FetchError> {
    blocking(move || match coming.incoming().put(&at.name, at.offset, &piece) {
        Ok(()) => Ok(coming),
        Err(source) => Err(FetchError::File { name: at.name, source }),
    })
    .await
}

/// Disks are waited for elsewhere than where connections are served. What `work` has taken is dropped after it, also
/// when nobody waits any more.
async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    spawn_blocking(work).await.expect("no panic, not aborted")
}
