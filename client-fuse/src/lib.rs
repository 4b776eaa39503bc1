//! The FUSE mount: the kernel's protocol translated to the native client.
//!
//! It knows the kernel and errnos; of the cluster it knows what the native client says, and no message.
//!
//! ```text
//!   kernel ◄─► session ─► adapter ─┬─ names, attributes, directories ─► client
//!              (FUSE)              └─ files ─► write_gather ─► client
//!   command line ─► options ─► background ─► serve: all of it, until it is unmounted ─► closing
//!                                              └─► presence: where `emberfs umount` finds it
//! ```
//! What it shares with the commands about mounts lies below it, in `mounts/`.
//!
//! * [`session`]: the only place that knows the kernel's protocol. [`adapter`]: the file system, without it.
//! * `metered.rs`: what is counted of the kernel's requests. `room.rs`: the memory that they have together.
//! * `notice.rs`: what people are told meanwhile. `lock.rs`: how memory that threads share is locked.
//! * [`errno`]: failures as errnos. [`write_gather`]: bytes that are not on their way yet.
//!
//! `unsafe` stands in `session/device/clone` alone.

pub mod adapter;
mod arguments;
mod background;
pub mod caller;
mod closing;
pub mod errno;
mod exit;
mod lock;
mod metered;
mod notice;
pub mod options;
mod presence;
mod room;
mod serve;
pub mod session;
mod table;
pub mod write_gather;

use std::os::unix::process::parent_id;
use std::process::ExitCode;

use anyhow::Result;

pub use arguments::Arguments;
pub use closing::Lost;
pub use exit::Caller;
use options::MountOptions;

/// Does what the command line says.
///
/// # Errors
/// Why it could not.
pub fn run(arguments: &Arguments, caller: Caller) -> Result<ExitCode> {
    let called_by = (caller == Caller::Mount).then(parent_id);
    let Arguments { source, path, options, fake, .. } = arguments;
    let options = MountOptions::new(source, path.clone(), options)?;
    if options.remount {
        if !fake {
            session::remount(&options)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Before anything is started that would wait for a cluster first.
    session::check_vacant(&options.path)?;
    if *fake {
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.foreground {
        return background::start(arguments.with_parent.or(called_by));
    }
    if arguments.announce {
        background::leave_terminal()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served =
        runtime.block_on(serve::serve(&options, arguments.connect_timeout, arguments.announce));
    // What was given up waits for nobody.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}
