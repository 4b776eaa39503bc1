//! The lease, read and storage rules around Raft, as a pure core.
