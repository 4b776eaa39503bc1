//! What the metadata leader asks of a client, and tells it, over the connection of its session.

use std::sync::Arc;

use bytes::Bytes;
use emberfs_transport::{Answer, Handler, IncomingCall};
use emberfs_wire::cluster::{TellRouting, TellRoutingReply};
use emberfs_wire::meta::{AskHeld, AskHeldReply};
use emberfs_wire::{Request, WireError, decode, encode};

use crate::held::Held;
use crate::routes::Routes;

/// What it is answered from; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) held: Held,
    pub(crate) routes: Arc<Routes>,
}

impl Handler for Asked {
    async fn handle(&self, call: IncomingCall) -> Answer {
        match call.method {
            AskHeld::METHOD => {
                let AskHeld { inodes } = asked(&call)?;
                let held = self.held.of(inodes).await;
                answer::<AskHeld>(&AskHeldReply { held })
            }
            TellRouting::METHOD => {
                let TellRouting { since, delta } = asked(&call)?;
                let version = self.routes.told(since, delta);
                answer::<TellRouting>(&TellRoutingReply { version })
            }
            other => Err(WireError::bug(format!("{other} is not served by a client"))),
        }
    }
}

fn asked<R: Request>(call: &IncomingCall) -> Result<R, WireError> {
    decode(&call.message).map_err(|error| WireError::bug(error.to_string()))
}

fn answer<R: Request>(reply: &R::Reply) -> Answer {
    let mut message = Vec::new();
    encode(reply, &mut message);
    Ok((message, Bytes::new()))
}
