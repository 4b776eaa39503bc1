//! Tests of the tree, through [`apply`](crate::apply) as a member would.

mod bytes;
mod garbage;
mod invariants;
mod layouts;
mod lengths;
mod listing;
mod model;
mod permissions;
mod random;
mod records;
mod rules;
mod world;
