//! How far the kernel reads ahead of a program that reads in order.
//!
//! The kernel's own choice for each mount is 128 KiB, whatever its file system offers: a program that reads 1 MiB at a
//! time is served by eight requests. Root may say otherwise, of each mount, in `/sys/class/bdi`.

use std::io;

/// So far, in bytes, where a request may be so large: one request serves what a program mostly reads at a time. Larger
/// would cost whoever reads a map of a file here and there, as a page that is missing brings so many.
const AHEAD: usize = 1 << 20;

/// Has the kernel read ahead by one request, on the mount with this device (`MAJOR:MINOR`), if this process may.
pub(super) fn lift(device: &str, request_max: usize) {
    let path = path(device);
    match std::fs::write(&path, kib(request_max)) {
        Ok(()) => {}
        // Who is not root has the kernel's choice, and so has a container that may not write there.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied) => {}
        Err(error) => tracing::debug!(path, %error, "the kernel reads ahead as it does by itself"),
    }
}

fn path(device: &str) -> String {
    format!("/sys/class/bdi/{device}/read_ahead_kb")
}

fn kib(request_max: usize) -> String {
    (AHEAD.min(request_max) >> 10).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_far_as_a_request_goes_and_a_mebibyte_at_most() {
        assert_eq!([1 << 24, 1 << 20, 4096].map(kib), ["1024", "1024", "4"]);
        assert_eq!(path("0:45"), "/sys/class/bdi/0:45/read_ahead_kb");
    }
}
