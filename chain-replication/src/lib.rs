//! The replicated chunk protocol as a pure core: targets, membership transitions and placement.
#![forbid(unsafe_code)]
