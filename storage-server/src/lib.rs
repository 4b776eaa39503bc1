//! The storage server: shards that each own their disks and carry the replicas of their targets.
#![forbid(unsafe_code)]
