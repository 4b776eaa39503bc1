//! What a core asks of other replicas, as messages.

use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_chain_replication::target::{Answer, Ask, CALL_MS_MAX};
use emberfs_layout::TargetId;
use emberfs_transport::{CallError, CallOptions};
use emberfs_wire::{Request, WireError};

use super::driver::{RETRY_MS, Surroundings};
use super::peers::PeerError;
use crate::joining::behind_each_other;

/// Asks `to`, and waits for its answer. Whatever keeps the answer away is a reason to ask again.
pub(crate) async fn send(
    around: &Surroundings,
    to: TargetId,
    ask: Ask,
) -> Result<Answer, WireError> {
    let wait = Some(Duration::from_millis(CALL_MS_MAX));
    let options = &CallOptions { wait, ..CallOptions::default() };
    let joined =
        |data: &[Payload]| behind_each_other(data.iter().map(Payload::bytes), &around.pool);
    let none = Bytes::new();
    match ask {
        Ask::Forward { update, data } => {
            call(around, to, &update, joined(&data)?, options).await.map(Answer::Forward)
        }
        Ask::Committed(ask) => call(around, to, &ask, none, options).await.map(Answer::Committed),
        Ask::Page(ask) => call(around, to, &ask, none, options).await.map(Answer::Page),
        Ask::Install { install, data } => {
            let payload = data.map_or(none, |data| data.bytes().clone());
            call(around, to, &install, payload, options).await.map(Answer::Installed)
        }
        Ask::Finish(ask) => call(around, to, &ask, none, options).await.map(Answer::Finished),
    }
}

async fn call<R: Request>(
    around: &Surroundings,
    to: TargetId,
    request: &R,
    payload: Bytes,
    options: &CallOptions,
) -> Result<R::Reply, WireError> {
    match around.peers.call(to, request, payload, options).await {
        Ok(reply) => Ok(reply.message),
        Err(PeerError::Call(CallError::Failed(error))) => Err(error),
        Err(error) => {
            tracing::debug!(%to, method = %R::METHOD, %error, "no answer from a replica");
            Err(WireError::Retry { after_ms: RETRY_MS, text: error.to_string() })
        }
    }
}
