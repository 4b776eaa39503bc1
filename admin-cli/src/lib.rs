//! emberfs, the one command with which an operator does everything.
#![forbid(unsafe_code)]
