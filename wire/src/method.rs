//! The table of requests: number, type, reply, and whether a retry is harmless.
//!
//! Numbers are never reused. The high byte names the service (0 the connection itself, 1 chunks,
//! 2 replicas, 3 the cluster, 4 names and sessions, 5 the metadata
//! group); a row added, removed or changed needs a new protocol version, which a golden test holds.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::chunk::{
    LastChunk, LastChunkReply, ReadChunks, ReadChunksReply, UpdateChunk, UpdateChunkReply,
};
use crate::cluster::{
    Administer, AdministerReply, GetClients, GetClientsReply, GetRouting, GetRoutingReply,
    GetStatus, GetStatusReply, Heartbeat, HeartbeatReply, Register, RegisterReply, TellRouting,
    TellRoutingReply,
};
use crate::group::{
    FetchPiece, FetchPieceReply, GetMember, GetMemberReply, Install, InstallReply, Tell, TellReply,
};
use crate::handshake::{Hello, HelloReply};
use crate::meta::{
    Ask, AskHeld, AskHeldReply, EndSession, Mutate, MutationReply, OpenSession, OpenSessionReply,
    QueryReply, RenewSession, RenewSessionReply,
};
use crate::replica::{
    AskCommitted, AskCommittedReply, ComparePage, ComparePageReply, FinishSync, FinishSyncReply,
    ForwardReply, ForwardUpdate, InstallChunk, InstallChunkReply,
};

/// Number of a kind of request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(u16);

/// What may be done when a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It changes nothing: send it again.
    ChangesNothing,
    /// It carries a tag, a slot or a version: sent again, it is applied once.
    Tagged,
    /// It belongs to its connection: a new connection sends its own.
    PerConnection,
}

/// A message that asks for something.
pub trait Request: Encode<()> + for<'b> Decode<'b, ()> + Send + 'static {
    /// Its number.
    const METHOD: Method;
    /// What answers it.
    type Reply: Encode<()> + for<'b> Decode<'b, ()> + Send + 'static;
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodInfo {
    /// The number.
    pub method: Method,
    /// The request's type.
    pub name: &'static str,
    /// The reply's type.
    pub reply: &'static str,
    /// What a client may do without an answer.
    pub retry: Retry,
}

macro_rules! methods {
    ($($number:literal $request:ident => $reply:ident, $retry:ident;)*) => {
        $(impl Request for $request {
            const METHOD: Method = Method($number);
            type Reply = $reply;
        })*

        /// All requests, by number.
        pub const METHODS: &[MethodInfo] = &[$(MethodInfo {
            method: Method($number),
            name: stringify!($request),
            reply: stringify!($reply),
            retry: Retry::$retry,
        }),*];

        /// Every message type, as a function that decodes it and encodes it again.
        #[cfg(test)]
        pub(crate) const CODECS: &[(&str, crate::golden::Recode)] = &[$(
            (stringify!($request), crate::golden::recode::<$request>),
            (stringify!($reply), crate::golden::recode::<$reply>),
        )*];
    };
}

methods! {
    0x0000 Hello => HelloReply, PerConnection;
    0x0100 ReadChunks => ReadChunksReply, ChangesNothing;
    0x0101 UpdateChunk => UpdateChunkReply, Tagged;
    0x0102 LastChunk => LastChunkReply, ChangesNothing;
    0x0200 ForwardUpdate => ForwardReply, Tagged;
    0x0201 AskCommitted => AskCommittedReply, ChangesNothing;
    0x0202 ComparePage => ComparePageReply, ChangesNothing;
    0x0203 InstallChunk => InstallChunkReply, Tagged;
    0x0204 FinishSync => FinishSyncReply, ChangesNothing;
    0x0300 Register => RegisterReply, Tagged;
    0x0301 Heartbeat => HeartbeatReply, ChangesNothing;
    0x0302 GetRouting => GetRoutingReply, ChangesNothing;
    0x0303 Administer => AdministerReply, Tagged;
    0x0304 GetStatus => GetStatusReply, ChangesNothing;
    0x0305 GetClients => GetClientsReply, ChangesNothing;
    0x0306 TellRouting => TellRoutingReply, ChangesNothing;
    0x0400 OpenSession => OpenSessionReply, Tagged;
    0x0401 RenewSession => RenewSessionReply, ChangesNothing;
    0x0402 EndSession => RenewSessionReply, Tagged;
    0x0403 Mutate => MutationReply, Tagged;
    0x0404 Ask => QueryReply, ChangesNothing;
    0x0405 AskHeld => AskHeldReply, ChangesNothing;
    0x0500 Tell => TellReply, Tagged;
    0x0501 Install => InstallReply, Tagged;
    0x0502 FetchPiece => FetchPieceReply, ChangesNothing;
    0x0503 GetMember => GetMemberReply, ChangesNothing;
}

impl Method {
    /// The method of this number, known or not.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Its row of the table, if this build knows it.
    #[must_use]
    pub fn info(self) -> Option<&'static MethodInfo> {
        METHODS.iter().find(|row| row.method == self)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.info() {
            Some(row) => f.write_str(row.name),
            None => write!(f, "method {:#06x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_ascend() {
        assert!(METHODS.windows(2).all(|pair| pair[0].method < pair[1].method));
    }

    #[test]
    fn a_method_is_shown_by_name() {
        assert_eq!(ReadChunks::METHOD.to_string(), "ReadChunks");
        assert_eq!(Method::new(0xfffe).to_string(), "method 0xfffe");
    }
}
