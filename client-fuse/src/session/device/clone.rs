//! Another descriptor of a mount: the device opened anew, and told by the old descriptor whose it is.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::ioctl::{Setter, ioctl, opcode};

/// `FUSE_DEV_IOC_CLONE` of `linux/fuse.h`: `_IOR(229, 0, uint32_t)`.
const CLONE: u32 = opcode::read::<u32>(229, 0);

pub(super) fn another(descriptor: &OwnedFd) -> Result<OwnedFd, Errno> {
    let opened = File::options().read(true).write(true).open("/dev/fuse");
    let opened =
        OwnedFd::from(opened.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?);
    let old = u32::try_from(descriptor.as_raw_fd()).expect("an open descriptor's number");
    // SAFETY: the kernel reads one u32 from where the argument points to, and writes nothing to our memory.
    unsafe { ioctl(&opened, Setter::<CLONE, u32>::new(old)) }?;
    Ok(opened)
}
