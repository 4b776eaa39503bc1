//! Whole clusters of real processes on loopback, started as their user would: by `emberfs up`.
#![expect(clippy::cast_possible_truncation, reason = "offsets of small files fit everywhere")]

use emberfs_tests::{load, local, names, process, replicas, told, tree};

mod all_killed;
mod bad_blocks;
mod bench;
mod by_hand;
mod bytes;
mod chaos;
mod clients;
mod copies;
mod coreutils;
mod cuts;
mod damage;
mod full_disk;
mod idle;
mod killed;
mod killed_test;
mod layouts;
mod lengths;
mod machines;
mod meta;
mod metrics;
mod restart;
mod small_writes;
mod stopped;
mod unread;
mod up;
mod usage;
mod verbs;
mod versions;
