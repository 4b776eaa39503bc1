//! Whole clusters of real processes on loopback, started as their user would: by `emberfs up`.

mod local;
mod restart;
mod tree;
mod verbs;
