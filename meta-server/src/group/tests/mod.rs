//! The group on real stores: order, durability, sharing of syncs, reads, time, failure; of one, and of three.

mod failure;
mod golden;
mod ledger;
mod orders;
mod restart;
mod several;
mod three;
