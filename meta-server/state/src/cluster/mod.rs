//! The cluster's state machine: nodes, disks, targets, chains, tables, and what changed of them.
//!
//! ```text
//!   Register ──► node ── AddDisk ──► disk with free targets ── CreateTable ──► chains, a table of them
//!                  │ boot number                                                  │
//!                  └──────────── compared by SetChain, which the leader proposes ─┘
//! ```
//!
//! * **Routing.** Each change of a node, disk, chain or table takes the next routing version for itself.
//!   The log keeps the last change of each item only, so it is as long as there are items, and
//!   [`routing_since`] can end a page anywhere; only the last page makes the picture whole.
//! * **Starts.** A node gets a boot number for each start of its process. Beside each chain member stands
//!   the start under which its server got the member's state: where the two differ, the server has
//!   started anew, and the leader takes the member out by the transition table. [`set_chain`] is refused
//!   if the leader saw an older start, so no state is ever given to a process that is gone.
//! * **Orders** of an operator are carried out once; the last [`ORDERS_KEPT`] are remembered.
//!
//! A change is checked as a whole before anything of it is written.
//!
//! | record | value |
//! | --- | --- |
//! | `C` `cluster` | [routing version, last node, target, chain, table, boot number] |
//! | `C` `defaults` | [table, its version, its chains, chunk size] of files that say nothing else |
//! | `C` `table`, table id | the same of files in this table: a file is made without a look at all its chains |
//! | `C` `lease` | [the longest lease of storage servers that may be under way, in milliseconds] |
//! | `C` `orders` | ids of the remembered orders, oldest first |
//! | `N` | [node, its last starts, disks that it found, disks admitted on it, routing version, lock] |
//! | `M` | node id |
//! | `D` | [disk, routing version] |
//! | `P` | [disk id, chain id] |
//! | `H` | [chain, start of each member's server when it got its state, routing version] |
//! | `B` | [table, routing version] |
//! | `U` | what changed |
//! | `O` | what came of it |

mod chains;
mod disks;
mod lease;
mod news;
mod nodes;
mod orders;
mod records;
mod refusal;
mod routing;
mod tables;

pub use chains::{PlacedChain, PlacedMember, placed_chain, placed_chains, set_chain, settled};
pub use disks::{FreeDisk, add_disk, disk, disks, free_disks};
pub use lease::{lease_ms, raise_lease, set_lease};
pub use news::{News, news};
pub use nodes::{Replaced, Start, node, nodes, register, replaced};
pub use orders::{ORDERS_KEPT, order};
pub use refusal::Refusal;
pub use routing::{routing_since, routing_version};
pub use tables::{Defaults, TablePlan, create_table, defaults, given, table, tables};

#[cfg(test)]
mod tests;
