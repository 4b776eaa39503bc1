//! What a mount counts of the kernel's requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

use emberfs_metrics::{Gauge, Histogram, table};

use crate::errno::Errno;

/// One request, from when it was read to when this is dropped.
#[derive(Debug)]
pub(crate) struct Metered {
    call: &'static str,
    began: Instant,
    handles: Handles,
    errno: Option<Errno>,
}

#[derive(Clone, Debug)]
struct Handles {
    seconds: Histogram,
    open: Gauge,
}

thread_local! {
    /// Handles that were taken, by the name of the call: each thread that reads requests takes them once.
    static TAKEN: RefCell<HashMap<&'static str, Handles>> = RefCell::default();
}

impl Metered {
    /// A request by this name has come.
    pub(crate) fn begin(call: &'static str) -> Self {
        let handles = TAKEN.with_borrow_mut(|taken| {
            let take = || Handles {
                seconds: table::FUSE_SECONDS.with([call]),
                open: table::FUSE_OPEN.with([]),
            };
            taken.entry(call).or_insert_with(take).clone()
        });
        handles.open.inc();
        Self { call, began: Instant::now(), handles, errno: None }
    }

    /// It is answered with this.
    pub(crate) fn failed(&mut self, errno: Errno) {
        self.errno = Some(errno);
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.handles.open.dec();
        self.handles.seconds.observe(self.began.elapsed().as_secs_f64());
        if let Some(errno) = self.errno {
            // The errnos of a file system are few.
            table::FUSE_ERRORS.with([self.call, &errno.raw_os_error().to_string()]).inc();
        }
    }
}

/// What the mount has in memory.
pub(crate) struct MountMeters {
    files: Gauge,
    gathered: Gauge,
}

impl MountMeters {
    pub(crate) fn new() -> Self {
        Self { files: table::FUSE_FILES.with([]), gathered: table::FUSE_GATHERED_BYTES.with([]) }
    }

    /// As it is now.
    pub(crate) fn note(&self, files: usize, gathered: usize) {
        self.files.set(i64::try_from(files).unwrap_or(i64::MAX));
        self.gathered.set(i64::try_from(gathered).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_when_it_has_ended() {
        let seconds = || table::FUSE_SECONDS.with(["test"]).get_sample_count();
        let mut call = Metered::begin("test");
        assert_eq!(seconds(), 0);
        call.failed(Errno::NOENT);
        drop(call);
        drop(Metered::begin("test"));
        assert_eq!(seconds(), 2);
        assert_eq!(table::FUSE_ERRORS.with(["test", "2"]).get(), 1);
    }
}
