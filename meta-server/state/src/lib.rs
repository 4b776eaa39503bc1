//! Metadata operations as pure functions over a key-value transaction.
#![forbid(unsafe_code)]
