//! emberfs, the one command with which an operator does everything.
fn main() {}
