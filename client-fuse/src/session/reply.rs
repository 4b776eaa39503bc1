//! The one answer to a request: given once, and if by nobody, then with its end.

use std::sync::Arc;

use super::device::Device;
use super::protocol::answer_header;
use crate::errno::Errno;
use crate::metered::Metered;

/// An answer that is due.
#[derive(Debug)]
pub(super) struct Reply {
    /// From which the request was read.
    device: Arc<Device>,
    unique: u64,
    is_due: bool,
    /// What is counted of the request.
    metered: Option<Metered>,
}

impl Reply {
    pub(super) fn new(device: &Arc<Device>, unique: u64) -> Self {
        Self { device: device.clone(), unique, is_due: true, metered: None }
    }

    /// The same, and its answer is counted.
    pub(super) fn counted(mut self, metered: Metered) -> Self {
        self.metered = Some(metered);
        self
    }

    /// Answers; whether somebody heard it.
    pub(super) fn send(mut self, answer: Result<&[u8], Errno>) -> bool {
        self.answer(answer)
    }

    /// Some requests have none.
    pub(super) fn withhold(mut self) {
        self.is_due = false;
    }

    fn answer(&mut self, answer: Result<&[u8], Errno>) -> bool {
        self.is_due = false;
        // Before the caller hears of it.
        if let Some(mut metered) = self.metered.take()
            && let Err(errno) = answer
        {
            metered.failed(errno);
        }
        let (errno, body) = match answer {
            Ok(body) => (0, body),
            Err(errno) => (errno.raw_os_error(), &[][..]),
        };
        let header = answer_header(self.unique, errno, body.len());
        match self.device.write([&header, body]) {
            Ok(()) => true,
            // Nobody waits for it any more, or it is unmounted.
            Err(Errno::NOENT | Errno::NODEV) => false,
            Err(error) => {
                tracing::error!(unique = self.unique, %error, "an answer that the kernel refused");
                // One that it takes for wrong has no reader yet.
                let header = answer_header(self.unique, Errno::IO.raw_os_error(), 0);
                let _refused = self.device.write([&header, &[]]);
                false
            }
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.is_due {
            // Its task panicked, or ends with the program: nobody shall wait for it for ever.
            self.answer(Err(Errno::IO));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::device::scripted::{Answer, Kernel};
    use super::*;

    #[test]
    fn each_request_is_answered_once_and_in_any_case() {
        let (kernel, device) = Kernel::new();
        let device = Arc::new(device);
        let reply = |unique| Reply::new(&device, unique);
        assert!(reply(2).send(Ok(b"found")));
        assert!(reply(4).send(Err(Errno::NOENT)));
        reply(6).withhold();
        drop(reply(8));
        let answer = |unique, errno, body: &[u8]| Answer { unique, errno, body: body.to_vec() };
        assert_eq!(kernel.answer(), answer(2, 0, b"found"));
        assert_eq!(kernel.answer(), answer(4, Errno::NOENT.raw_os_error(), b""));
        assert_eq!(kernel.answer(), answer(8, Errno::IO.raw_os_error(), b""));
        drop(kernel);
        assert!(!reply(10).send(Ok(b"heard by nobody")));
    }
}
