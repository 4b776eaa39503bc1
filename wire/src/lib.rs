//! Every message of EmberFS, defined once as a plain struct, with its codec, its errors and its versions.
//!
//! Pure: it turns structs into bytes and back. It knows no connection, no clock and no thread, and it
//! decides nothing: what a message does is its service's affair.
//!
//! ```text
//!   | header 64 B | extension | message (CBOR) | payload: raw bytes of chunks |
//!     header.rs     extension.rs  codec.rs       summed by the message (sums.rs)
//! ```
//!
//! * A message is a CBOR array of numbered fields. A reader skips fields it does not know and a field
//!   added later is optional, so neighbours in version understand each other; the handshake
//!   ([`handshake`]) settles which version both speak.
//! * [`method`] is the one table of requests, their numbers, their replies and whether a retry is
//!   harmless. A changed table without a new protocol version fails a test.
//! * What is asked of whom: [`chunk`] and [`replica`] of a storage server, [`cluster`] and [`meta`] of the
//!   metadata leader, [`group`] of any member of its group. [`disk`], [`load`]: what servers say of their disks and of what they do.
//! * [`error::WireError`] is a small closed set, ordered by the reaction that it asks for.
//! * Everything decoded is bounded ([`limits`]), and what decodes is valid.
#![forbid(unsafe_code)]

pub mod chunk;
pub mod cluster;
pub mod codec;
pub mod disk;
pub mod error;
pub mod extension;
pub mod group;
pub mod handshake;
pub mod header;
pub mod limits;
pub mod load;
pub mod meta;
pub mod method;
pub mod protocol;
pub mod replica;
pub mod sums;
pub mod tag;

#[cfg(test)]
mod golden;

pub use codec::{DecodeError, decode, encode};
pub use error::{FsError, WireError};
pub use header::{FrameError, FrameHeader, FrameKind};
pub use method::{Method, Request};
pub use sums::PayloadSums;
pub use tag::{Capability, Tag};
