//! Real mounts of real clusters, used by real programs. Where there is no FUSE, or not the program, a test
//! says `skipped` and why.

use emberfs_tests::local;

mod calls;
mod deadline;
mod ending;
mod full;
mod given_up;
mod leaving;
mod made_by_up;
mod meeting;
mod mounted;
mod namespace;
mod places;
mod programs;
mod users;
