//! Loss of power: real servers on a file system that forgets what was not synced.
//!
//! A process that is killed leaves its writes in the kernel's memory, so killing says nothing about power. Here
//! every directory of a server lies on a `lossy-disk` (`lossy_disk/main.rs`), a process of its own, which
//! on command forgets all that was not synced, or all but a part of it that a seed chooses.
//!
//! * `lies`: what such a disk forgets. `powered`: a cluster on them.
//! * `power`: servers lose their power under a load, and nothing that was acknowledged is lost.
//! * `rows`: without any one of the syncs that servers issue, something is.
//!
//! Where there is no /dev/fuse, a test says `skipped` and why.

use emberfs_tests::{load, local, names, process, tree};

mod disk;
mod lies;
mod power;
mod powered;
mod rows;
