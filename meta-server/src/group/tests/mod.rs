//! The group on real stores: order, durability, sharing of syncs, reads, time, failure; of one, and of three;
//! what is said of a member that refuses every state.

mod failure;
mod given_up;
mod golden;
mod ledger;
mod orders;
mod restart;
mod several;
mod three;
