//! Routing, retry and exactly-once rules of a client, as a pure core.
//!
//! It knows what a client must remember and decide, and no connection, clock, thread or file: the `client`
//! crate asks it, a simulator can as well.
//!
//! * [`routing`]: where chunks are, from the deltas that the metadata leader sends.
//! * [`tags`]: numbers of chunk writes, for each chain the mark below which all are answered; [`slots`]: the
//!   same for mutations of the namespace.
//! * [`retry`]: given a failure, what comes next and after how long, as one table.
//! * [`spread`]: which replica a read asks; [`span`]: how a range becomes requests, what missing bytes mean.
//! * [`written`]: what a file's next report will say.
#![forbid(unsafe_code)]

pub mod retry;
pub mod routing;
pub mod slots;
pub mod span;
pub mod spread;
pub mod tags;
pub mod written;

pub use retry::{Decision, Failure, Next, Work, decide};
pub use routing::{FileStripe, RouteError, RoutingTable};
pub use slots::Slots;
pub use span::{Missing, PART_MAX, missing, parts};
pub use spread::choose;
pub use tags::{Blocked, Tags, WriteId};
pub use written::Written;
