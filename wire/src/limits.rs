//! The largest of everything that a peer may send, in bytes unless said otherwise.
//!
//! A frame beyond a limit is refused before any memory is taken for it.

/// Extension area: a credential and little else.
pub const EXTENSION_BYTES_MAX: u32 = 8 << 10;

/// One message: a page of a directory listing is the largest, and is cut to a quarter of this.
pub const MESSAGE_BYTES_MAX: u32 = 4 << 20;

/// One payload: a chunk of the largest size.
pub const PAYLOAD_BYTES_MAX: u32 = 64 << 20;

/// Words that go with an error.
pub const ERROR_TEXT_BYTES_MAX: usize = 1 << 10;

/// Reads in one batch (a count).
pub const READS_MAX: usize = 1024;

/// Shards of one server (a count): more than any machine has cores.
pub const SHARDS_MAX: usize = 1024;

/// Targets on one shard (a count): its disks with some dozens each.
pub const TARGETS_MAX: usize = 4096;
