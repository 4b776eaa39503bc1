//! Members on disks that forget what was not synced, alone and in groups that lose messages.

mod alone;
mod group;
mod world;
