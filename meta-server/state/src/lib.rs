//! Metadata operations as pure functions over a key-value transaction.
