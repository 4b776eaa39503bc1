//! The kernel's device: a descriptor from which requests are read and to which answers are written.
//!
//! Each reading thread has a descriptor of its own (`clone`), and with it a list of requests of its own in the
//! kernel: an answer must be written to the descriptor from which its request was read.

mod clone;
#[cfg(test)]
pub(super) mod scripted;

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;

use rustix::io::{Errno, readv, writev};

/// One such descriptor.
#[derive(Debug)]
pub(super) struct Device(OwnedFd);

impl Device {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Another descriptor of the same mount.
    ///
    /// # Errors
    /// The system's, where the device may not be opened, by whom it was mounted for say.
    pub(super) fn another(&self) -> Result<Self, Errno> {
        clone::another(&self.0).map(Self)
    }

    /// Waits for a request, which comes whole; how many bytes it has. `None`: it is unmounted.
    ///
    /// # Errors
    /// The system's: nothing more can be read.
    pub(super) fn read(&self, parts: [&mut [u8]; 2]) -> Result<Option<usize>, Errno> {
        let mut parts = parts.map(IoSliceMut::new);
        loop {
            match readv(&self.0, &mut parts) {
                Ok(len) => return Ok(Some(len)),
                Err(Errno::NODEV) => return Ok(None),
                // Its caller has given it up meanwhile, or this thread was interrupted.
                Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes an answer. It is taken whole or not at all.
    ///
    /// # Errors
    /// `ENOENT` if nobody waits for it any more, or another of the system's.
    pub(super) fn write(&self, parts: [&[u8]; 2]) -> Result<(), Errno> {
        let parts = parts.map(IoSlice::new);
        let filled = if parts[1].is_empty() { &parts[..1] } else { &parts[..] };
        loop {
            match writev(&self.0, filled) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
