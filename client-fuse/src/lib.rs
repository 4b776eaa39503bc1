//! The FUSE mount: the kernel's protocol translated to the native client.
#![forbid(unsafe_code)]
