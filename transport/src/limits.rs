//! What one connection may hold and how long it waits, with the reason for each default.

use std::time::Duration;

use emberfs_layout::ByteLen;

/// Limits and times of a connection. Both sides of a cluster use the same `requests_open` and
/// `bytes_open`: each is held by the asking side and enforced by the serving one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait for their replies, in each direction (a count). Enough for 64 small
    /// reads from each of 16 threads.
    pub requests_open: u32,
    /// Payload bytes of those requests together. Enough to keep 32 chunks of 1 MiB moving; a request
    /// larger than this goes alone.
    pub bytes_open: ByteLen,
    /// How long a handshake may take: a peer that connects and says nothing holds no descriptor.
    pub handshake: Duration,
    /// How often a quiet connection is pinged.
    pub ping_every: Duration,
    /// A peer from which nothing came for so long is gone. Several pings fit in, so that one that is
    /// late does not cut a connection.
    pub silence_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_open: 1024,
            bytes_open: ByteLen(32 << 20),
            handshake: Duration::from_secs(10),
            ping_every: Duration::from_secs(1),
            silence_max: Duration::from_secs(5),
        }
    }
}
