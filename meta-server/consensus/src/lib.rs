//! The lease, read and storage rules around Raft, as a pure core.
#![forbid(unsafe_code)]
