//! The metadata server: the namespace and the cluster's state behind Raft, in RocksDB.
#![forbid(unsafe_code)]
