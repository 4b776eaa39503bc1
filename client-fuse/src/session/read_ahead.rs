//! How far the kernel reads ahead of a program that reads in order.
//!
//! The kernel's own choice for each mount is 128 KiB, whatever its file system offers: a program that reads 1 MiB at a
//! time is served by eight requests. Root may say otherwise, of each mount, in `/sys/class/bdi`; so may a rule of udev's
//! that has done so by then: what is further than ours stays.

use std::io;

/// So far, in bytes, where a request may be so large: one request serves what a program mostly reads at a time. Larger
/// would cost whoever reads a map of a file here and there, as a page that is missing brings so many.
const AHEAD: usize = 1 << 20;

/// Where the kernel says nothing about a mount that this process may use, or lets it change nothing: to who is not root,
/// and in containers, whose `/sys` is often read-only.
const CLOSED: [io::ErrorKind; 2] =
    [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];

/// Has the kernel read ahead by one request at least, on the mount with this device (`MAJOR:MINOR`), if this process may.
pub(super) fn lift(device: &str, request_max: usize) {
    let (path, kib) = (path(device), kib(request_max));
    let lifted = std::fs::read_to_string(&path).and_then(|set| match is_further(kib, &set) {
        true => std::fs::write(&path, kib.to_string()),
        false => Ok(()),
    });
    if let Err(error) = lifted
        && !CLOSED.contains(&error.kind())
    {
        tracing::debug!(path, %error, "the kernel reads ahead as it does by itself");
    }
}

/// Whether so many KiB are further than what is set.
fn is_further(kib: usize, set: &str) -> bool {
    set.trim().parse().is_ok_and(|set: usize| kib > set)
}

fn path(device: &str) -> String {
    format!("/sys/class/bdi/{device}/read_ahead_kb")
}

fn kib(request_max: usize) -> usize {
    AHEAD.min(request_max) >> 10
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that a request has.
    const PAGE: usize = 4096;

    #[test]
    fn as_far_as_a_request_goes_and_a_mebibyte_at_most() {
        assert_eq!([16 * AHEAD, AHEAD, PAGE].map(kib), [1024, 1024, PAGE / 1024]);
        assert_eq!(path("0:45"), "/sys/class/bdi/0:45/read_ahead_kb");
    }

    #[test]
    fn what_is_set_is_raised_and_never_lowered() {
        let sets = ["0\n", "128\n", "1023", "1024\n", "4096\n", "", "far\n"];
        let raised = sets.map(|set| is_further(1024, set));
        assert_eq!(raised, [true, true, true, false, false, false, false]);
    }
}
