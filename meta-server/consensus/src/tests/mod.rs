//! Members on disks that forget what was not synced, alone and in groups that lose messages.

mod alone;
mod anew;
mod dice;
mod group;
mod hand_over;
mod leases;
mod losses;
mod messages;
mod one;
mod questions;
mod silence;
mod snapshots;
mod trio;
mod world;
