//! Framed connections with deadlines and back-pressure, generic over the messages they carry.
//!
//! It moves frames ([`emberfs_wire::header`]) and matches replies to requests. It knows the handshake,
//! and no other message: a [`Handler`] gets bytes and a method number, a caller gives any
//! [`Request`](emberfs_wire::Request). It never sends a request again: whether that is safe is for the
//! layer above to say.
//!
//! ```text
//!   Link ── dials again, with jittered backoff ──► Connection ◄── Pending ◄── a listener
//!                                                     │ run(handler): one task, one owner
//!    Peer (clones) ── commands ──► ┌──────────────────┴───────────────────┐
//!    call(): slots and bytes       │ select: frame │ command │ answer │    │──► socket
//!    are limited here              │         room to write  │ tick         │◄──
//!                                  └──────────────────────────────────────┘
//! ```
//!
//! What is counted of requests is counted in `metered.rs`, on both sides; [`load`] reads that.
//!
//! # Limits
//! The side that asks keeps within [`Limits`]; the side that serves closes the connection of a peer
//! that does not. So a connection never has to stop reading, and replies always get through: neither
//! side can wait for the other in a circle.
//!
//! # Order
//! Frames are sent in the order in which they were handed over; answers come in any order.
//!
//! `unsafe` stands in [`landing`] alone.

pub mod address;
mod arriving;
pub mod call;
pub mod connection;
pub mod error;
mod frame;
pub mod handshake;
pub mod landing;
pub mod limits;
pub mod link;
pub mod load;
pub mod members;
mod metered;
pub mod network;
mod outbox;
mod reader;
pub mod refusals;
mod serving;

#[cfg(test)]
mod tests;

pub use address::{Address, AddressError};
pub use call::{CallOptions, Peer, Reply};
pub use connection::Connection;
pub use error::{CallError, Closed, HandshakeError};
pub use handshake::{Pending, connect};
pub use landing::{Ground, Owned, Room, Spot, lend};
pub use limits::Limits;
pub use link::{Dial, Link};
pub use load::LoadWindow;
pub use network::{Network, Tcp};
pub use refusals::Refusals;
pub use serving::{Answer, Handler, IncomingCall, NoService};
