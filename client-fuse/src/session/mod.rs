//! The kernel's protocol: the only place that knows it. What it asks is
//! answered by [`Adapter`].
//!
//! ```text
//!            device ─ one descriptor each ─► reader ─ incoming ─► calls ─┬─► answered at once ─────► reply
//!   kernel ◄────────────────────────────────── reply ◄── task ◄──────────┘         ▲
//!                                                         └────── interrupts ──────┘
//! ```
//! * `protocol`: the bytes. `convert`: our words and the kernel's. `handshake`: what both sides agree on.
//! * `device`: descriptors. `reader`: a thread that reads requests, into the memory of `incoming`.
//! * `calls`: each request handed to the adapter, by groups; `calls/task`: what takes
//!   time, `calls/patience`: how long for. `reply`: its answer.
//! * `interrupts`: which requests can be interrupted. `signals`: what a caller has to do meanwhile.
//! * `mount_point`: mounting and unmounting. `vacancy`: where. `read_ahead`: how far the kernel reads ahead there.
//!
//! Requests are read by threads of their own, which never wait for the network: they start a task for each
//! request, which answers it. Only bytes that need but be gathered are taken at once.
//!
//! Attributes and names are valid for no time at all, so each use asks. The page cache is dropped at each
//! open; writes go through it, not into it.

mod calls;
mod convert;
mod device;
mod handshake;
mod incoming;
mod interrupts;
mod mount_point;
mod protocol;
mod read_ahead;
mod reader;
mod reply;
mod signals;
mod vacancy;

use std::io;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::adapter::Adapter;
use crate::options::MountOptions;
use calls::Calls;
use device::Device;
use incoming::Memory;
pub use mount_point::{MountError, MountPoint, check_vacant, remount};
use reader::Reader;

/// Threads that read requests, at least and at most: what they do is short, and one of them may be copying a write.
const THREADS: [usize; 2] = [2, 4];

/// A mount that the kernel asks us about.
#[derive(Debug)]
pub struct Session {
    mount_point: MountPoint,
    /// Hears of each reading thread how it ended; closed when all have.
    ends: Ends,
    is_over: bool,
}

impl Session {
    /// Mounts, and answers from now on by tasks of this runtime.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn start(
        adapter: Arc<Adapter>,
        runtime: Handle,
        options: &MountOptions,
    ) -> Result<Self, MountError> {
        let (mount_point, device) = MountPoint::mount(options)?;
        let calls = Calls::new(adapter, runtime, options.direct_io);
        match serve(device, &Arc::new(calls)) {
            Ok((request_max, ends)) => {
                read_ahead::lift(mount_point.listed().0, request_max);
                Ok(Self { mount_point, ends, is_over: false })
            }
            Err(source) => {
                mount_point.unmount()?;
                Err(MountError::Protocol { source })
            }
        }
    }

    /// Ends when the kernel has ended the connection and no request is to be read any more: somebody has unmounted, or
    /// tries to by force.
    ///
    /// # Errors
    /// Where requests cannot be read any more, at the first thread that cannot: the connection was aborted, say.
    pub async fn ended(&mut self) -> io::Result<()> {
        while let Some(end) = self.ends.recv().await {
            end?;
        }
        self.is_over = true;
        Ok(())
    }

    /// Whether the kernel has ended the connection.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> &MountPoint {
        &self.mount_point
    }

    /// Unmounts: at once for those who look it up, and for those who have files open when they close them.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn unmount(&self) -> Result<(), MountError> {
        self.mount_point.unmount()
    }
}

/// Where each thread tells how it ended.
type Ends = mpsc::Receiver<io::Result<()>>;

/// Comes to terms with the kernel, and starts the threads; how many bytes a request has at most.
fn serve(device: OwnedFd, calls: &Arc<Calls>) -> io::Result<(usize, Ends)> {
    let first = Arc::new(Device::new(device));
    let write_max = handshake::agree(&first)?.write_max() as usize;
    let [least, most] = THREADS;
    let threads = available_parallelism().map_or(least, NonZero::get).clamp(least, most);
    let memory = Memory::new(threads, write_max);
    let more = (1..threads).map(|_| match first.another() {
        Ok(device) => Arc::new(device),
        Err(error) => {
            tracing::warn!(%error, "no further descriptor of /dev/fuse: threads share one");
            first.clone()
        }
    });
    let devices = std::iter::once(first.clone()).chain(more);
    let readers = devices.map(|device| Reader::new(device, &memory, write_max, calls));
    let readers = readers.collect::<io::Result<Vec<_>>>()?;
    let (end, ends) = mpsc::channel(threads);
    for (number, reader) in readers.into_iter().enumerate() {
        reader.start(number, end.clone())?;
    }
    Ok((write_max, ends))
}
