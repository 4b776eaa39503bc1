//! Pooled aligned memory, and payloads that carry their block checksums and cannot be read before they are checked.
//!
//! A leaf: it knows memory, CRC-32C and the block grid of a chunk ([`emberfs_layout::BlockSize`]). It
//! knows no file, socket, message or clock.
//!
//! ```text
//!   Pool ── take ──► AlignedBuf ── filled by a disk or a socket ── freeze ──► Bytes
//!                                                                              │
//!        Unchecked (bytes + the sums that somebody sent or stored) ◄───────────┘
//!            │ check: the one CRC pass on this machine
//!            ▼
//!        Payload (bytes + sums that match) ── slice, join: sums kept or combined ──► Payload
//! ```
//!
//! A [`Payload`] exists only where its bytes were checked against its sums, or where the sums were
//! computed by the writer itself. Slicing and joining keep that true without another pass over what
//! was checked: whole blocks keep their sum, parts are combined.
//!
//! A reader's bytes may come straight into memory of his own; [`check_in_place`] compares them there.
//!
//! [`ChunkDigest`] tells whether two replicas hold the same chunk.
//!
//! `unsafe` stands in [`aligned`] alone.

pub mod aligned;
pub mod checksum;
pub mod digest;
pub mod grid;
pub mod join;
pub mod payload;
pub mod pool;

pub use aligned::{ALIGNMENT, AlignedBuf};
pub use checksum::Crc32c;
pub use digest::ChunkDigest;
pub use join::{JoinError, join};
pub use payload::{Corrupt, Malformed, Payload, Unchecked, Unfit, check_in_place};
pub use pool::{Pool, PoolError, PoolUsage};
