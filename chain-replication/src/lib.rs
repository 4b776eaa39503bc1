//! The replicated chunk protocol as a pure core: targets, membership transitions and placement.
//!
//! It knows no disk, no socket and no clock. What is here: [`placement`], which disks carry a chain
//! together. Targets and membership come next.
#![forbid(unsafe_code)]

pub mod placement;
