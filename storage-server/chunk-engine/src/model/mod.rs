//! Models of [`Disk`](crate::disk::Disk) and [`Records`](crate::records::Records) that lose on a crash
//! what was not synced.
//!
//! ```text
//!   run          ModelDisk, ModelRecords on one Power; Power::cut_after(n): the n-th step never ends
//!   power goes   Power::is_off
//!   crash        ModelDisk::after_crash(what survives), ModelRecords::after_crash(how many)
//!                make new ones, with what a real disk could hold then: the old ones stay, so that
//!                one run is followed by many crashes
//! ```
//!
//! A step is anything after which the outside could look different: a write that was begun, one that has
//! returned, a sync begun or done, and so on.

mod disk;
mod power;
mod records;

pub use disk::{ModelDisk, Survivors};
pub use power::Power;
pub use records::ModelRecords;
