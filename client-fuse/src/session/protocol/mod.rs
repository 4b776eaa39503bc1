//! What goes over the kernel's device, byte by byte: the structs of `linux/fuse.h`, protocol 7.31 to 7.4x.
//!
//! ```text
//!   request   len u32 │ opcode u32 │ unique u64 │ node u64 │ uid u32 │ gid u32 │ pid u32 │ 4 bytes │ arguments
//!   answer    len u32 │ -errno i32 │ unique u64 │ what was asked for
//! ```
//! Numbers are in the machine's own order, names end with a zero byte, structs are padded to eight bytes.
//!
//! * `fields`: numbers and names, read and written. `header`: the beginning of each request and each answer.
//! * `init`: the first request, by which both sides agree on what they can.
//! * `arguments`: what the other requests carry. `answers`: what is answered. `entries`: directories.
//!
//! Decoders take any bytes, and refuse what is too short with [`Malformed`]. What a kernel sent is read in `golden`.

mod answers;
mod arguments;
mod entries;
mod fields;
#[cfg(test)]
mod golden;
mod header;
mod init;

pub(super) use answers::{Attr, OpenFlags, Space, attr, created, entry, opened, space, written};
pub(super) use arguments::{
    Access, Create, Interrupt, Link, MakeDirectory, MakeNode, Open, OpenFile, Read, Rename,
    Rename2, SetAttr, SetTo, Write,
};
pub(super) use entries::{DirectoryEntry, Entries};
pub(super) use fields::{Fields, Malformed};
pub(super) use header::{Header, answer_header};
pub(super) use init::{Agreement, Init};
