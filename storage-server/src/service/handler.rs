//! Requests, read and checked, to the core of the target that they are for; its replies, written.
//!
//! Payloads are bound to the sums in their message and checked here: what a core or an engine sees has
//! passed its one checksum pass on this server.

use std::rc::Rc;

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_chain_replication::target::{Answer as ReplicaAnswer, Input, Reply};
use emberfs_layout::TargetId;
use emberfs_transport::{Answer, Handler, IncomingCall};
use emberfs_wire::chunk::{ChunkChange, LastChunk, ReadChunks, Replica, UpdateChunk};
use emberfs_wire::handshake::Role;
use emberfs_wire::replica::{AskCommitted, ComparePage, FinishSync, ForwardUpdate, InstallChunk};
use emberfs_wire::{DecodeError, PayloadSums, Request, WireError, decode, encode};

use super::reads;
use crate::shard::driver::{Driver, RETRY_MS, Waiting};
use crate::shard::{RawCall, Shard};

/// Serves one connection, on the shard where it lives.
#[derive(Clone)]
pub(crate) struct ShardHandler {
    shard: Rc<Shard>,
    role: Role,
}

impl ShardHandler {
    /// For a peer that says to be `role`.
    pub(crate) fn new(shard: Rc<Shard>, role: Role) -> Self {
        Self { shard, role }
    }
}

impl Handler for ShardHandler {
    async fn handle(&self, call: IncomingCall) -> Answer {
        let IncomingCall { method, message, payload, .. } = call;
        let of_clients =
            matches!(method, ReadChunks::METHOD | UpdateChunk::METHOD | LastChunk::METHOD);
        if !of_clients && self.role != Role::Storage {
            return Err(WireError::bug(format!("a {:?} peer has no {method} to send", self.role)));
        }
        answer(&self.shard, RawCall { method, message, payload }).await
    }
}

/// Answers a request of a peer, or of another shard on behalf of one.
pub(crate) async fn answer(shard: &Rc<Shard>, call: RawCall) -> Answer {
    let _under_way = shard.begin()?;
    match call.method {
        ReadChunks::METHOD => reads::answer(shard, call).await,
        UpdateChunk::METHOD => one::<UpdateChunk>(shard, call).await,
        LastChunk::METHOD => one::<LastChunk>(shard, call).await,
        ForwardUpdate::METHOD => one::<ForwardUpdate>(shard, call).await,
        AskCommitted::METHOD => one::<AskCommitted>(shard, call).await,
        ComparePage::METHOD => one::<ComparePage>(shard, call).await,
        InstallChunk::METHOD => one::<InstallChunk>(shard, call).await,
        FinishSync::METHOD => one::<FinishSync>(shard, call).await,
        other => Err(WireError::bug(format!("{other} is not served by a storage server"))),
    }
}

/// A request to one replica.
trait ToReplica: Request {
    /// Which.
    fn replica(&self) -> &Replica;
    /// Hands it to the core, its payload checked.
    fn hand_in(self, driver: &Rc<Driver>, payload: Bytes) -> Result<Waiting, WireError>;
    /// The core's reply to it, as the message; `None` if it is one to something else.
    fn reply(reply: Reply) -> Option<Self::Reply>;
}

async fn one<R: ToReplica>(shard: &Rc<Shard>, call: RawCall) -> Answer {
    let request: R = decode(&call.message).map_err(unreadable)?;
    let home = shard.home(request.replica().target);
    if home != shard.index() {
        return shard.cross(home, call).await;
    }
    let driver = shard.driver(request.replica())?;
    let reply = request.hand_in(&driver, call.payload)?.await.map_err(|_| stopped())??;
    let reply = R::reply(reply).ok_or_else(|| WireError::bug("a reply to something else"))?;
    Ok(answered::<R>(&reply, Bytes::new()))
}

impl ToReplica for UpdateChunk {
    fn replica(&self) -> &Replica {
        &self.replica
    }

    fn hand_in(self, driver: &Rc<Driver>, payload: Bytes) -> Result<Waiting, WireError> {
        let target = self.replica.target;
        let data = match &self.change {
            ChunkChange::Write(sums) => Some(checked(target, sums, payload)?),
            ChunkChange::Cut(_) | ChunkChange::Remove => none_left(&payload).map(|()| None)?,
        };
        Ok(driver.ask(|id| Input::Update { id, update: self, data }))
    }

    fn reply(reply: Reply) -> Option<Self::Reply> {
        if let Reply::Updated(reply) = reply { Some(reply) } else { None }
    }
}

impl ToReplica for LastChunk {
    fn replica(&self) -> &Replica {
        &self.replica
    }

    fn hand_in(self, driver: &Rc<Driver>, payload: Bytes) -> Result<Waiting, WireError> {
        none_left(&payload)?;
        Ok(driver.ask(|id| Input::LastChunk { id, ask: self }))
    }

    fn reply(reply: Reply) -> Option<Self::Reply> {
        if let Reply::LastChunk(reply) = reply { Some(reply) } else { None }
    }
}

impl ToReplica for ForwardUpdate {
    fn replica(&self) -> &Replica {
        &self.replica
    }

    fn hand_in(self, driver: &Rc<Driver>, mut payload: Bytes) -> Result<Waiting, WireError> {
        let mut data = Vec::new();
        for change in &self.changes {
            if let ChunkChange::Write(sums) = &change.change {
                let len = (sums.len.get() as usize).min(payload.len());
                data.push(checked(self.replica.target, sums, payload.split_to(len))?);
            }
        }
        none_left(&payload)?;
        Ok(driver.ask(|id| Input::Forward { id, update: self, data }))
    }

    fn reply(reply: Reply) -> Option<Self::Reply> {
        if let Reply::Replica(ReplicaAnswer::Forward(reply)) = reply { Some(reply) } else { None }
    }
}

impl ToReplica for InstallChunk {
    fn replica(&self) -> &Replica {
        &self.replica
    }

    fn hand_in(self, driver: &Rc<Driver>, payload: Bytes) -> Result<Waiting, WireError> {
        let data = match &self.data {
            Some(sums) => Some(checked(self.replica.target, sums, payload)?),
            None => none_left(&payload).map(|()| None)?,
        };
        Ok(driver.ask(|id| Input::Install { id, install: self, data }))
    }

    fn reply(reply: Reply) -> Option<Self::Reply> {
        if let Reply::Replica(ReplicaAnswer::Installed(reply)) = reply { Some(reply) } else { None }
    }
}

/// Requests between replicas that carry no payload.
macro_rules! without_payload {
    ($($request:ident => $input:ident, $answer:ident;)*) => {
        $(impl ToReplica for $request {
            fn replica(&self) -> &Replica {
                &self.replica
            }

            fn hand_in(self, driver: &Rc<Driver>, payload: Bytes) -> Result<Waiting, WireError> {
                none_left(&payload)?;
                Ok(driver.ask(|id| Input::$input { id, ask: self }))
            }

            fn reply(reply: Reply) -> Option<Self::Reply> {
                let Reply::Replica(ReplicaAnswer::$answer(reply)) = reply else { return None };
                Some(reply)
            }
        })*
    };
}

without_payload! {
    AskCommitted => AskCommitted, Committed;
    ComparePage => ComparePage, Page;
    FinishSync => FinishSync, Finished;
}

/// The bytes that `sums` describe, if they are.
fn checked(target: TargetId, sums: &PayloadSums, bytes: Bytes) -> Result<Payload, WireError> {
    let unchecked = sums.bind(bytes).map_err(|error| WireError::bug(error.to_string()))?;
    unchecked.check().map_err(|corrupt| {
        tracing::warn!(target_id = %target, %corrupt, "a payload was damaged on its way");
        // The sender has the right bytes, or it would not have these sums.
        WireError::Retry { after_ms: RETRY_MS, text: format!("damaged on its way: {corrupt}") }
    })
}

fn none_left(payload: &Bytes) -> Result<(), WireError> {
    match payload.len() {
        0 => Ok(()),
        extra => Err(WireError::bug(format!("{extra} bytes of payload belong to nothing"))),
    }
}

pub(super) fn answered<R: Request>(reply: &R::Reply, payload: Bytes) -> (Vec<u8>, Bytes) {
    let mut message = Vec::new();
    encode(reply, &mut message);
    (message, payload)
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
pub(super) fn unreadable(error: DecodeError) -> WireError {
    WireError::bug(error.to_string())
}

/// The core, or the shard that was asked, is gone.
pub(crate) fn stopped() -> WireError {
    WireError::Retry { after_ms: RETRY_MS, text: "the server is stopping".to_owned() }
}
