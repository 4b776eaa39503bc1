//! The developers' front door: check, test, simulate, bench.
fn main() {}
