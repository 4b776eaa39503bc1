//! The kernel's protocol: the only place that knows it. What it asks is
//! answered by [`Adapter`].
//!
//! * `kernel`: each request of the kernel handed to the adapter, each answer handed back.
//! * `convert`: our words and the kernel's.
//! * `mount_point`: mounting and unmounting. `vacancy`: where.
//!
//! Requests are read by threads of their own, which never wait for the network: they start a task for each
//! request, which answers it. Only bytes that need but be gathered are taken at once.
//!
//! Attributes and names are valid for no time at all, so each use asks. The page cache is dropped at each
//! open; writes go through it, not into it.

mod convert;
mod kernel;
mod mount_point;
mod vacancy;

use std::io;
use std::sync::Arc;

use fuser::SessionACL;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::adapter::Adapter;
use crate::options::MountOptions;
use kernel::Kernel;
pub use mount_point::{MountError, MountPoint, check_vacant, remount};

/// Threads that read requests: what they do is short, and one of them may be copying a write.
const THREADS: usize = 2;

/// A mount that the kernel asks us about.
#[derive(Debug)]
pub struct Session {
    mount_point: MountPoint,
    ended: oneshot::Receiver<io::Result<()>>,
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
        let kernel = Kernel::new(adapter, runtime, options.direct_io);
        let mut config = fuser::Config::default();
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
        config.acl = acl;
        let (end, ended) = oneshot::channel();
        let served = fuser::Session::from_fd(kernel, device, acl, config).and_then(|session| {
            let serve = move || {
                // Nobody waits any more where the process ends by a signal.
                let _unheard = end.send(session.run());
            };
            std::thread::Builder::new().name("fuse".to_owned()).spawn(serve)
        });
        if let Err(source) = served {
            mount_point.unmount()?;
            return Err(MountError::Protocol { source });
        }
        Ok(Self { mount_point, ended, is_over: false })
    }

    /// Ends, once, when somebody has unmounted and no request is to be read any more.
    ///
    /// # Errors
    /// The system's, where requests cannot be read any more.
    pub async fn ended(&mut self) -> io::Result<()> {
        let ended = (&mut self.ended).await;
        self.is_over = true;
        ended.unwrap_or_else(|_| Err(io::Error::other("a thread that reads requests panicked")))
    }

    /// Whether requests are still to be expected.
    #[must_use]
    pub fn is_mounted(&self) -> bool {
        !self.is_over
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
