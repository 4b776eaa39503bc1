//! What mounts and the commands about them share: the kernel's list of mounts, a daemon's words.
//!
//! It knows neither how something is mounted nor what a cluster is, and asks no mounted file system: that may hang.
//!
//! * [`MountTable`]: what is mounted where, as the kernel lists it.
//! * [`Way`]: where a path leads, up to a mount of ours.
//! * [`Said`]: what a mount's daemon says to `emberfs umount` and `down`, and where it listens to them.
#![forbid(unsafe_code)]

mod said;
mod table;
mod way;

pub use said::{SOCKETS, Said, socket};
pub use table::{Mount, MountTable, TYPE, escaped};
pub use way::Way;
