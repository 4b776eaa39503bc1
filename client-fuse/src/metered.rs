//! What a mount counts of the kernel's requests.
//!
//! The handles of a call are taken when it first comes, that of an errno when the call first fails with it, and kept for
//! the process: counting a request adds to some numbers and reads the clock twice.

use std::sync::OnceLock;
use std::time::Instant;

use emberfs_metrics::{Counter, Gauge, Histogram, level, table};

use crate::errno::Errno;

/// Places for errnos: Linux' are below 134.
const ERRNOS: usize = 134;

/// What is counted of all requests by one name.
#[derive(Debug)]
pub(crate) struct CallMeters {
    call: &'static str,
    seconds: Histogram,
    open: Gauge,
    /// How often it failed, by the errno.
    errors: [OnceLock<Counter>; ERRNOS],
}

/// One request, from when it was read to when this is dropped.
#[derive(Debug)]
pub(crate) struct Metered {
    meters: &'static CallMeters,
    began: Instant,
    errno: Option<Errno>,
}

impl CallMeters {
    /// Of the calls by this name.
    pub(crate) fn new(call: &'static str) -> Self {
        Self {
            call,
            seconds: table::FUSE_SECONDS.with([call]),
            open: table::FUSE_OPEN.with([]),
            errors: [const { OnceLock::new() }; ERRNOS],
        }
    }

    fn failed(&self, errno: Errno) {
        let number = errno.raw_os_error();
        let place = usize::try_from(number).ok().and_then(|place| self.errors.get(place));
        let take = || table::FUSE_ERRORS.with([self.call, &number.to_string()]);
        match place {
            Some(place) => place.get_or_init(take).inc(),
            // It is none of Linux'.
            None => take().inc(),
        }
    }
}

impl Metered {
    /// A request of these has come.
    pub(crate) fn begin(meters: &'static CallMeters) -> Self {
        meters.open.inc();
        Self { meters, began: Instant::now(), errno: None }
    }

    /// It is answered with this.
    pub(crate) fn failed(&mut self, errno: Errno) {
        self.errno = Some(errno);
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.meters.open.dec();
        self.meters.seconds.observe(self.began.elapsed().as_secs_f64());
        if let Some(errno) = self.errno {
            self.meters.failed(errno);
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
        self.files.set(level(files));
        self.gathered.set(level(gathered));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_when_it_has_ended() {
        static METERS: OnceLock<CallMeters> = OnceLock::new();
        let meters = METERS.get_or_init(|| CallMeters::new("test"));
        let seconds = || table::FUSE_SECONDS.with(["test"]).get_sample_count();
        let mut call = Metered::begin(meters);
        assert_eq!(seconds(), 0);
        call.failed(Errno::NOENT);
        drop(call);
        drop(Metered::begin(meters));
        assert_eq!(seconds(), 2);
        let errors = |errno: &str| table::FUSE_ERRORS.with(["test", errno]).get();
        assert_eq!(errors("2"), 1);
    }

    #[test]
    fn the_handle_of_an_errno_is_taken_once() {
        let meters = CallMeters::new("taken");
        let taken = || meters.errors.iter().filter(|place| place.get().is_some()).count();
        assert_eq!(taken(), 0);
        for _ in 0..3 {
            [Errno::NOENT, Errno::STALE, Errno::from_raw_os_error(4000)]
                .into_iter()
                .for_each(|errno| meters.failed(errno));
        }
        assert_eq!(taken(), 2, "the last is none of Linux'");
        for errno in ["2", "116", "4000"] {
            assert_eq!(table::FUSE_ERRORS.with(["taken", errno]).get(), 3);
        }
    }
}
