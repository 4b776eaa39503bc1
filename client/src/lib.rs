//! The native client library: files, directories and zero-copy chunk I/O, blocking and async.
#![forbid(unsafe_code)]
