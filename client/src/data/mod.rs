//! Moving bytes between the caller's memory and chunks.
//!
//! ```text
//!   read    ranges ─► parts of chunks ─► batches by shard ─► check ─► the caller's memory
//!   write   bytes  ─► parts of chunks ─► sums, a number each ─► the head of each chain
//! ```
//!
//! A byte is used only after its block's checksum was compared ([`emberfs_buffer::Unchecked`]), and is copied
//! once, from the buffer in which it was received.

mod batch;
mod read;
mod write;

use emberfs_wire::FsError;
use emberfs_wire::meta::Attributes;
use emberfs_wire::meta::inode::FileData;

use crate::error::ClientError;

pub(crate) use read::{Target, read};
pub(crate) use write::write;

/// Where a file's bytes are.
fn data_of(attributes: &Attributes) -> Result<FileData, ClientError> {
    Ok(attributes.data.ok_or(FsError::InvalidArgument)?)
}
