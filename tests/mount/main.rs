//! Real mounts of real clusters, used by real programs. Where there is no FUSE, or not the program, a test
//! says `skipped` and why.

#[path = "../cluster/local.rs"]
#[allow(dead_code)] // these tests need a part of it
mod local;

mod calls;
mod ending;
mod meeting;
mod mounted;
mod programs;
mod users;
