//! The replicated chunk protocol as a pure core: targets, membership transitions and placement.
//!
//! It knows no disk, no socket and no clock. [`placement`]: which disks carry a chain together.
//! [`membership`]: how the states of a chain's members change. [`target`]: one replica of a chain.
#![forbid(unsafe_code)]

pub mod membership;
pub mod placement;
pub mod target;
