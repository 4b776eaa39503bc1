//! What a server does, counted over its last seconds: for people, not for decisions.

use emberfs_layout::ByteLen;
use minicbor::{Decode, Encode};

/// Requests that a server answered for clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct NodeLoad {
    /// Over how long it was counted, in milliseconds; the rates are a second's.
    #[n(0)]
    pub window_ms: u32,
    /// Requests of clients that came, a second.
    #[n(1)]
    pub requests: u32,
    /// Bytes of these requests, a second.
    #[n(2)]
    pub received: ByteLen,
    /// Bytes of their answers, a second.
    #[n(3)]
    pub sent: ByteLen,
}

/// What a disk did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DiskLoad {
    /// Over how long it was counted, in milliseconds; the rates are a second's.
    #[n(0)]
    pub window_ms: u32,
    /// Bytes read, a second.
    #[n(1)]
    pub read: ByteLen,
    /// Bytes written, a second.
    #[n(2)]
    pub written: ByteLen,
    /// 99 of 100 reads took no longer, in microseconds; `None` where there were none.
    #[n(3)]
    pub read_p99_us: Option<u32>,
    /// 99 of 100 groups of changes took no longer to be durable, in microseconds; `None` where there were none.
    #[n(4)]
    pub sync_p99_us: Option<u32>,
}

impl NodeLoad {
    /// Of two servers together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let sum = |a: ByteLen, b: ByteLen| ByteLen(a.get().saturating_add(b.get()));
        Self {
            window_ms: self.window_ms.max(other.window_ms),
            requests: self.requests.saturating_add(other.requests),
            received: sum(self.received, other.received),
            sent: sum(self.sent, other.sent),
        }
    }
}

impl DiskLoad {
    /// How slow it is, in microseconds: what its users wait for longest. Of two disks the one with more is slower.
    #[must_use]
    pub fn p99_us(&self) -> Option<u32> {
        self.sync_p99_us.max(self.read_p99_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_reads_and_syncs_counts() {
        let load = |read_p99_us, sync_p99_us| {
            DiskLoad { read_p99_us, sync_p99_us, ..DiskLoad::default() }.p99_us()
        };
        assert_eq!((load(None, None), load(Some(3), None)), (None, Some(3)));
        assert_eq!((load(Some(3), Some(9)), load(None, Some(9))), (Some(9), Some(9)));
        let one = NodeLoad { window_ms: 9, requests: 2, received: ByteLen(3), sent: ByteLen(4) };
        let two = NodeLoad { window_ms: 9, requests: 4, received: ByteLen(6), sent: ByteLen(8) };
        assert_eq!((one.and(one), one.and(NodeLoad::default())), (two, one));
    }
}
