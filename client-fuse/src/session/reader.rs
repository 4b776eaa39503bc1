//! A thread that reads requests, from the first to the end of the mount.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::calls::Calls;
use super::device::Device;
use super::incoming::{Incoming, Memory};
use crate::errno::Errno;

/// One such thread.
#[derive(Debug)]
pub(super) struct Reader {
    device: Arc<Device>,
    incoming: Incoming,
    calls: Arc<Calls>,
}

/// How a thread ended, told when it has: also when it panicked.
struct End {
    to: mpsc::Sender<io::Result<()>>,
    how: io::Result<()>,
}

impl Reader {
    /// One that reads writes of so many bytes.
    ///
    /// # Errors
    /// If there is no memory.
    pub(super) fn new(
        device: Arc<Device>,
        memory: &Memory,
        write_max: usize,
        calls: &Arc<Calls>,
    ) -> io::Result<Self> {
        let incoming = Incoming::new(memory, write_max).map_err(io::Error::other)?;
        Ok(Self { device, incoming, calls: calls.clone() })
    }

    /// Starts it; `end` hears once how it ended.
    ///
    /// # Errors
    /// The system's, when it has no thread.
    pub(super) fn start(
        mut self,
        number: usize,
        end: mpsc::Sender<io::Result<()>>,
    ) -> io::Result<()> {
        let panicked = io::Error::other("a thread that reads requests panicked");
        let end = End { to: end, how: Err(panicked) };
        let thread = std::thread::Builder::new().name(format!("fuse-{number}"));
        thread.spawn(move || end.tell(self.run())).map(|_| ())
    }

    fn run(&mut self) -> io::Result<()> {
        let Self { device, incoming, calls } = self;
        while let Some(request) = incoming.next(device).map_err(in_words)? {
            match request {
                Ok(request) => calls.serve(device, request),
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        Ok(())
    }
}

/// Why nothing can be read any more.
fn in_words(error: Errno) -> io::Error {
    match error {
        Errno::CONNABORTED => io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "somebody aborted the connection (/sys/fs/fuse/connections/*/abort)",
        ),
        error => error.into(),
    }
}

impl End {
    fn tell(mut self, how: io::Result<()>) {
        self.how = how;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let how = std::mem::replace(&mut self.how, Ok(()));
        // There is room for each thread; nobody waits any more where the process ends by a signal.
        let _unheard = self.to.try_send(how);
    }
}
