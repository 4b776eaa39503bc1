//! Files and file systems of all machines, told apart by what their kernels say of them.
//!
//! Equal ids name the same thing, whatever machine, container or mount they were taken in: a kernel gives no two
//! that are in use the same numbers, and no two kernels have the same id. Different ids may still name the same
//! thing: seen by another kernel, as after a restart of the machine, or on another device, as the subvolumes of
//! one file system are.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::ids::KernelId;

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct FileSystemId {
    /// Who says so.
    #[n(0)]
    pub kernel: KernelId,
    /// Its device number there.
    #[n(1)]
    pub device: u64,
}

/// A file, for as long as it is there or open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct FileId {
    /// Where it is.
    #[n(0)]
    pub file_system: FileSystemId,
    /// Its number there.
    #[n(1)]
    pub number: u64,
}

/// For people, who compare a few: the begin of the kernel's id, and the device.
impl fmt::Display for FileSystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}:{:x}", self.kernel.get() >> 96, self.device)
    }
}
