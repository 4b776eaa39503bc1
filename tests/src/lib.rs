//! Model, simulation, cluster, conformance and fault tests: the only place that sees every crate.
//!
//! The tests are targets of their own beside this. Here is what several of them use:
//!
//! * [`local`], [`process`]: a cluster of real processes, and its single servers.
//! * [`scratch`]: nothing is left of it, also when a test is [`killed`].
//! * [`members`]: its metadata members, and which of them leads.
//! * [`load`]: writers and readers that know what they may count on. [`names`]: a load of names alone. [`tree`]: a file
//!   tree from a seed.
//! * [`network`]: machines with an address each, which can be cut off.
//! * [`replicas`]: what each replica has for itself. [`told`]: what a process tells Prometheus.
#![forbid(unsafe_code)]
#![expect(clippy::cast_possible_truncation, reason = "offsets of small files fit everywhere")]

pub mod killed;
pub mod load;
pub mod local;
pub mod members;
pub mod names;
pub mod network;
pub mod process;
pub mod replicas;
pub mod scratch;
pub mod told;
pub mod tree;
