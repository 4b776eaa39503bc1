//! The chunk store of one disk: extent maps over direct I/O, records in a key-value store, crash-consistent.
#![forbid(unsafe_code)]
