//! A kernel as a test plays it: a socket whose messages are requests and answers, each of them whole.

use std::os::fd::OwnedFd;

use rustix::io::{read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::Device;

/// Its end of the device.
#[derive(Debug)]
pub(in crate::session) struct Kernel(OwnedFd);

/// An answer as it hears it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session) struct Answer {
    pub(in crate::session) unique: u64,
    /// 0: none.
    pub(in crate::session) errno: i32,
    pub(in crate::session) body: Vec<u8>,
}

impl Kernel {
    /// It, and the device of a mount.
    pub(in crate::session) fn new() -> (Self, Device) {
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (its, ours) = socketpair(AddressFamily::UNIX, kind, flags, None).expect("sockets");
        (Self(its), Device::new(ours))
    }

    /// Asks for something that has these numbers.
    pub(in crate::session) fn ask(&self, opcode: u32, unique: u64, arguments: &[u32]) {
        let len = u32::try_from(40 + 4 * arguments.len()).expect("short");
        let mut request = Vec::new();
        request.extend([len, opcode].map(u32::to_ne_bytes).concat());
        request.extend(unique.to_ne_bytes());
        request.extend([0; 24]);
        request.extend(arguments.iter().flat_map(|number| number.to_ne_bytes()));
        assert_eq!(write(&self.0, &request), Ok(request.len()));
    }

    /// Waits for an answer.
    pub(in crate::session) fn answer(&self) -> Answer {
        let mut answer = vec![0; 4096];
        let len = read(&self.0, &mut answer).expect("an answer");
        answer.truncate(len);
        let u32_at = |at: usize| u32::from_ne_bytes(answer[at..at + 4].try_into().expect("four"));
        assert_eq!(u32_at(0) as usize, len);
        let unique = u64::from_ne_bytes(answer[8..16].try_into().expect("eight"));
        let errno = -u32_at(4).cast_signed();
        Answer { unique, errno, body: answer.split_off(16) }
    }
}
