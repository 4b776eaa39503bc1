//! The group of one on real stores: order, durability, sharing of syncs, reads, time, failure.

mod failure;
mod golden;
mod ledger;
mod orders;
mod restart;
