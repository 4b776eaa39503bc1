//! What the members of the group say to each other, and how each stands. Only a connection of a member may speak for
//! that member; anybody may ask how this one stands.

use std::sync::Arc;

use bytes::Bytes;
use emberfs_buffer::Crc32c;
use emberfs_meta_server_consensus::{Leadership, MemberId, MemberStanding, PeerMessage};
use emberfs_transport::link::LinkState;
use emberfs_transport::{Answer, IncomingCall};
use emberfs_wire::group::{
    FetchPiece, FetchPieceReply, GetMember, GetMemberReply, Install, InstallReply, MemberMessage,
    MemberStatus, Tell, TellReply,
};
use emberfs_wire::limits::SNAPSHOT_PIECE_MAX;
use emberfs_wire::{FsError, Request, WireError};
use tokio::task::spawn_blocking;

use super::{Service, answer, bytes_of, request};
use crate::group::receive;

/// Serves one of the requests that are about the group.
pub(super) async fn handle(service: &Service, call: &IncomingCall) -> Answer {
    if call.method == GetMember::METHOD {
        return answer(call, |_: GetMember| standing(service)).await;
    }
    let text = || format!("{} is for members of the metadata group alone", call.method);
    let member = service.member.ok_or_else(|| WireError::bug(text()))?;
    match call.method {
        Tell::METHOD => answer(call, |r| told(service, member, r, call.payload.clone())).await,
        Install::METHOD => answer(call, |r| install(service, member, r)).await,
        _ => piece(service, request(call)?).await,
    }
}

/// Hands messages of `member` on, if all are whole.
async fn told(
    service: &Service,
    member: MemberId,
    tell: Tell,
    mut payload: Bytes,
) -> Result<TellReply, WireError> {
    let mut heard = Vec::with_capacity(tell.messages.len());
    for message in tell.messages {
        let data = data_of(&message, &mut payload)?;
        let len = data.iter().map(Bytes::len).sum();
        let message = PeerMessage::from_parts(message, data);
        let message = message.map_err(|error| WireError::bug(error.to_string()))?;
        if message.from() != member || message.snapshot().is_some() {
            return Err(WireError::bug("a message that this member does not say in this way"));
        }
        heard.push((message, len));
    }
    if !payload.is_empty() {
        return Err(WireError::bug("more data than the messages name"));
    }
    for (message, len) in heard {
        service.group.hear(message, len, None).await;
    }
    Ok(TellReply {})
}

/// Takes the data of a message's entries off the payload, and compares the sums.
fn data_of(message: &MemberMessage, payload: &mut Bytes) -> Result<Vec<Bytes>, WireError> {
    let mut data = Vec::with_capacity(message.entries.len());
    for entry in &message.entries {
        let len = entry.len as usize;
        if len > payload.len() {
            return Err(WireError::bug("less data than the messages name"));
        }
        let bytes = payload.split_to(len);
        if Crc32c::of(&bytes).0 != entry.crc {
            let text = format!("the data of entry {} is not what was sent", entry.position.index);
            tracing::warn!(member = message.from.get(), text);
            return Err(WireError::bug(text));
        }
        data.push(bytes);
    }
    Ok(data)
}

/// Fetches the state of `member`, by a connection of this one's, so that nothing else that it says waits.
async fn install(
    service: &Service,
    member: MemberId,
    asked: Install,
) -> Result<InstallReply, WireError> {
    if asked.message.from != member {
        return Err(WireError::bug("a state of another member"));
    }
    match service.around.links.get(&member).map(|link| link.state()) {
        Some(LinkState::Up { peer, .. }) => receive::install(&service.group, &peer, asked).await,
        _ => {
            let text = format!("member {member} is not reached from here");
            Err(WireError::Retry { after_ms: 0, text })
        }
    }
}

/// A part of the snapshot that is kept.
async fn piece(service: &Service, asked: FetchPiece) -> Answer {
    let FetchPiece { snapshot, name, offset, len } = asked;
    let kept = service.group.snapshot(snapshot).filter(|_| len <= SNAPSHOT_PIECE_MAX);
    let kept = kept.ok_or(FsError::Stale)?;
    let read = spawn_blocking(move || kept.read(&name, offset, len)).await;
    let piece = read.expect("no panic, not aborted");
    let piece = piece.map_err(|error| {
        tracing::warn!(%error, "a piece of a snapshot cannot be read");
        WireError::bug(error.to_string())
    })?;
    let reply = FetchPieceReply { crc: Crc32c::of(&piece).0 };
    Ok((bytes_of(&reply), Bytes::from(piece)))
}

/// How this member stands, and how it sees the others.
async fn standing(service: &Service) -> Result<GetMemberReply, WireError> {
    let standing = service.group.standing().await?;
    let around = Arc::clone(&service.around);
    let leader = match standing.leadership {
        Leadership::Leader { .. } => Some(around.member),
        other => other.other(),
    };
    let address = |member: MemberId| {
        let place = usize::try_from(member.get()).ok().and_then(|place| place.checked_sub(1));
        place.and_then(|place| around.members.get(place)).cloned().unwrap_or_default()
    };
    let status = |seen: MemberStanding| MemberStatus {
        member: seen.member,
        address: address(seen.member),
        matched: seen.matched,
        heard: seen.heard,
    };
    Ok(GetMemberReply {
        cluster: around.cluster,
        member: around.member,
        leader,
        term: standing.term,
        cut: standing.cut,
        last: standing.last,
        committed: standing.committed,
        applied: standing.applied,
        members: standing.members.into_iter().map(status).collect(),
        abstains: standing.abstains,
    })
}
