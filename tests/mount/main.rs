//! Real mounts of real clusters, used by real programs. Where there is no FUSE, or not the program, a test
//! says `skipped` and why.

use emberfs_tests::local;

mod any_bytes;
mod calls;
mod deadline;
mod ending;
mod errnos;
mod full;
mod given_up;
mod interrupts;
mod leaving;
mod made_by_up;
mod many;
mod meeting;
mod metrics;
mod mounted;
mod namespace;
mod places;
mod programs;
mod users;
