//! What every server process of EmberFS needs: configuration, logging, metrics, identity of its directories, listening, shutdown.
//!
//! It knows no message and no service; a server's `main` puts these together. A part that only one server
//! needs belongs to that server.
//!
//! * [`program`]: the command line.
//! * [`config`]: one file, one struct; unknown keys are refused.
//! * [`mod@reference`]: the table of its keys, taken from the struct; [`sample`]: a file to start from.
//! * [`logging`]: structured lines to a file that is bounded (`rotation.rs`), or to standard error.
//! * [`identity`]: the small file that says whose a data directory is; `lock.rs`: the lock on it.
//! * [`formatting`]: making a directory one of ours, unless it is.
//! * [`listen`]: sockets on loopback, unless the operator names the danger.
//! * [`metrics`]: where the process tells what it has counted.
//! * `holder.rs`: which process has the port or the lock that this one wants.
//! * [`clock`]: the time that leases go by.
//! * [`shutdown`]: the signals that ask a process to end. [`ending`]: what it says and returns then.
//! * [`sync_point`]: the syncs that keep an identity, and the switch that leaves one sync out.
#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod ending;
pub mod formatting;
mod holder;
pub mod identity;
pub mod listen;
mod lock;
pub mod logging;
pub mod metrics;
pub mod program;
pub mod reference;
mod rotation;
pub mod sample;
pub mod shutdown;
pub mod sync_point;

pub use clock::Clock;
pub use identity::{DirectoryKind, Held, Identity, IdentityError};
