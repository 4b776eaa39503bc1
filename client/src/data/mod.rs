//! Moving bytes between the caller's memory and chunks.
//!
//! ```text
//!   read    ranges ─► parts of chunks ─► batches by shard ─► the caller's memory ─► check
//!   write   bytes  ─► parts of chunks ─► sums, a number each ─► the head of each chain
//! ```
//!
//! A byte counts as read only after its block's checksum was compared, where it lies. It goes from the socket
//! straight into the caller's memory ([`emberfs_transport::landing`]); bytes of many small parts, and the first
//! of a payload, which came along with its message, are copied once.

mod attempt;
mod batch;
mod outcomes;
mod part;
mod read;
mod targets;
mod write;

use emberfs_wire::FsError;
use emberfs_wire::meta::Attributes;
use emberfs_wire::meta::inode::FileData;

use crate::error::ClientError;

pub(crate) use read::read;
pub(crate) use targets::Targets;
pub(crate) use write::write;

/// Where a file's bytes are.
pub(crate) fn data_of(attributes: &Attributes) -> Result<FileData, ClientError> {
    Ok(attributes.data.ok_or(FsError::InvalidArgument)?)
}
