//! Routing, retry and exactly-once rules of a client, as a pure core.
#![forbid(unsafe_code)]
