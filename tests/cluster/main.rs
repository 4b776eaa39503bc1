//! Whole clusters of real processes on loopback, started as their user would: by `emberfs up`.
#![expect(clippy::cast_possible_truncation, reason = "offsets of small files fit everywhere")]

mod all_killed;
mod chaos;
mod clients;
mod killed;
mod load;
mod local;
mod process;
mod replicas;
mod restart;
mod stopped;
mod tree;
mod verbs;
