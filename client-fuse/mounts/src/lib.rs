//! What mounts and the commands about them share: the kernel's list of mounts, their daemons and the words about them.
//!
//! It knows neither how something is mounted nor what a cluster is, and asks no mounted file system: that may hang.
//!
//! * [`MountTable`]: what is mounted where, as the kernel lists it.
//! * [`Way`]: where a path leads, up to a mount of ours.
//! * [`Said`]: what a mount's daemon says to `emberfs umount` and `down`; [`Unwritten`], what it still writes, with
//!   [`counted`] and [`bytes_in_words`]. [`Socket`]: where it listens to them.
//! * [`Unheard`]: a process that may be a mount's daemon, though it says nothing here. [`connects`]: whether a
//!   connection of this process may be a mount's.
//! * [`Taken`]: why nothing can be mounted where a mount is.
#![forbid(unsafe_code)]

mod counted;
mod process;
mod said;
mod socket;
mod table;
mod taken;
mod unwritten;
mod way;

pub use counted::counted;
pub use process::{Unheard, connects, has_ended, is_daemon, unheard};
pub use said::Said;
pub use socket::{Socket, socket, sockets};
pub use table::{Mount, MountTable, TYPE, escaped};
pub use taken::Taken;
pub use unwritten::{Unwritten, bytes_in_words};
pub use way::Way;
