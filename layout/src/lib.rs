//! Ids, versions, chunk arithmetic and the shuffle that places chunks on chains.
//!
//! The leaf of the tree: every other crate speaks in these nouns. It knows no bytes of payload, no
//! I/O, no message and no clock. How a noun is written in CBOR is its own affair and stands here, so
//! that messages and records write it alike.
//!
//! ```text
//!   file   |------------------------------- length --------|
//!   chunks |   0    |   1    |   2    |   3    |   4  |         chunk i = offset / chunk_size
//!   chain     c2       c0       c1       c2       c0            chain  = stripe[i mod width]
//!   blocks    |..|..|                                           block  = unit of checksum
//! ```
//!
//! * [`ids`]: one newtype for each id; [`version`]: one for each version, counter and boot number.
//! * [`machine`]: files and file systems of all machines, told apart.
//! * [`length`]: byte lengths and offsets.
//! * [`chunk_size`]: sizes of chunks and of their checksum blocks.
//! * [`span`]: which pieces of which chunks a byte range of a file touches.
//! * [`file_layout`]: what an inode stores so that whoever holds it computes where a chunk lives;
//!   [`directory_layout`]: what a directory says of new files in it.
//! * [`shuffle`]: the specified permutation behind it, pinned by golden tests.
#![forbid(unsafe_code)]

pub mod chunk_size;
mod codec;
pub mod directory_layout;
pub mod file_layout;
pub mod ids;
pub mod length;
pub mod machine;
pub mod shuffle;
pub mod span;
pub mod version;

pub use chunk_size::{BlockSize, ChunkSize, ChunkSizeError};
pub use directory_layout::DirectoryLayout;
pub use file_layout::{FileLayout, LayoutError, StripeWidth};
pub use ids::{
    ChainId, ChunkId, ChunkIndex, ClientId, ClusterId, DataId, DiskId, InodeId, KernelId, NodeId,
    TableId, TargetId,
};
pub use length::{ByteLen, ChunkOffset, FileOffset};
pub use machine::{FileId, FileSystemId};
pub use shuffle::stripe;
pub use span::{ChunkSpan, SpanError, chunk_spans};
pub use version::{
    BootNumber, ChainVersion, ChangeNumber, ChunkVersion, RoutingVersion, Sequence, TableVersion,
};
