//! Each request of the kernel, handed to the adapter by a task of its own, which also answers.
//!
//! Requests that are not here `fuser` answers with ENOSYS. The kernel then never asks again, and programs
//! see what they know how to do without: EOPNOTSUPP for `fallocate` and extended attributes, a copy through
//! the program for `copy_file_range`, locks that hold on this mount.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use emberfs_client::{Attributes, ByteLen, Device, FileOffset};
use fuser::{
    AccessFlags, BsdFileFlags, FileHandle, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite,
    Request, TimeOrNow, WriteFlags,
};
use tokio::runtime::Handle;

use super::convert::{
    attributes, bare, caller, errno, file_type, inode, kind_of_mode, mode, set_time,
};
use crate::adapter::{Adapter, Change, Flags, Listed};
use crate::errno::Errno;

/// For how long the kernel may use attributes and names without asking: not at all.
const TTL: Duration = Duration::ZERO;
/// Inode numbers are never used again.
const GENERATION: Generation = Generation(0);
/// What one write carries at most, in bytes: what the kernel allows by default.
const WRITE_MAX: u32 = 1 << 20;
/// Requests that the kernel has under way of its own accord, such as read-ahead (a count).
const BACKGROUND_MAX: u16 = 256;
/// Entries asked for first: what the smallest of the kernel's buffers takes; then ever more.
const ENTRIES_FIRST: u32 = 32;
/// Entries asked for at once at most: what the largest takes.
const ENTRIES_MAX: u32 = 1024;
/// The unit of `statfs`, in bytes.
const SPACE_UNIT: u32 = 4096;
/// Inodes that `statfs` says are free: they are made as they are needed.
const INODES_FREE: u64 = 1 << 32;
/// Bytes of a name at most.
const NAME_MAX: u32 = 255;

/// What the kernel is asked for, where it can.
const CAPABILITIES: [InitFlags; 8] = [
    InitFlags::FUSE_ATOMIC_O_TRUNC,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_ASYNC_DIO,
    // The server takes set-user-id and set-group-id off.
    InitFlags::FUSE_HANDLE_KILLPRIV,
    InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
    InitFlags::FUSE_NO_EXPORT_SUPPORT,
];

/// The requests of one mount.
#[derive(Debug)]
pub(super) struct Kernel {
    adapter: Arc<Adapter>,
    runtime: Handle,
    direct_io: bool,
}

/// A task that answers a request: `work` runs with the adapter, what it comes to goes to `reply`.
macro_rules! answer {
    ($self:ident, $reply:ident, |$adapter:ident| $work:expr, $done:expr) => {{
        let $adapter = $self.adapter.clone();
        $self.runtime.spawn(async move {
            match $work.await {
                Ok(done) => $done($reply, done),
                Err(error) => $reply.error(errno(error)),
            }
        });
    }};
}

fn entry(reply: ReplyEntry, found: Attributes) {
    reply.entry(&TTL, &attributes(&found), GENERATION);
}

fn attr(reply: ReplyAttr, found: Attributes) {
    reply.attr(&TTL, &attributes(&found));
}

fn empty(reply: ReplyEmpty, (): ()) {
    reply.ok();
}

fn bytes(name: &OsStr) -> Vec<u8> {
    name.as_bytes().to_vec()
}

impl Kernel {
    pub(super) fn new(adapter: Arc<Adapter>, runtime: Handle, direct_io: bool) -> Self {
        Self { adapter, runtime, direct_io }
    }

    /// How the kernel shall treat an open file.
    fn treatment(&self, flags: Flags) -> FopenFlags {
        match (flags.appends(), self.direct_io) {
            // Where an append goes is known only when it is done: no page may say so before.
            (true, _) => FopenFlags::FOPEN_DIRECT_IO,
            (false, true) => FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES,
            (false, false) => FopenFlags::empty(),
        }
    }
}

/// Hands entries to `add` until it is full or there are no more.
async fn fill(
    adapter: &Adapter,
    directory: u64,
    mut offset: u64,
    with_attributes: bool,
    mut add: impl FnMut(&Listed) -> bool,
) -> Result<(), Errno> {
    let (mut limit, mut some) = (ENTRIES_FIRST, false);
    loop {
        let (listed, next) = match adapter.list(directory, offset, (limit, with_attributes)).await {
            // What is there is handed over; the next call says why there is no more.
            Err(_) if some => return Ok(()),
            listed => listed?,
        };
        some |= !listed.is_empty();
        if listed.iter().any(&mut add) {
            return Ok(());
        }
        let Some(next) = next else { return Ok(()) };
        (offset, limit) = (next, (2 * limit).min(ENTRIES_MAX));
    }
}

impl fuser::Filesystem for Kernel {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for capability in CAPABILITIES {
            // An older kernel does without.
            let _lacking = config.add_capabilities(capability);
        }
        config.set_max_write(WRITE_MAX).expect("within what is read at once");
        config.set_max_background(BACKGROUND_MAX).expect("more than none");
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (caller, parent, name) = (caller(request), inode(parent), bytes(name));
        answer!(self, reply, |adapter| adapter.lookup(caller, parent, &name), entry);
    }

    fn getattr(&self, request: &Request, of: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let (caller, of) = (caller(request), inode(of));
        answer!(self, reply, |adapter| adapter.getattr(caller, of), attr);
    }

    fn setattr(
        &self,
        request: &Request,
        of: INodeNo,
        new_mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        through: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (caller, of) = (caller(request), inode(of));
        let (atime, mtime) = (atime.map(set_time), mtime.map(set_time));
        let (size, mode) = (size.map(ByteLen), new_mode.map(mode));
        let through = through.map(|handle| handle.0);
        let change = Change { mode, uid, gid, size, atime, mtime, through };
        answer!(self, reply, |adapter| adapter.setattr(caller, of, change), attr);
    }

    fn readlink(&self, request: &Request, link: INodeNo, reply: ReplyData) {
        let (caller, link) = (caller(request), inode(link));
        answer!(
            self,
            reply,
            |adapter| adapter.readlink(caller, link),
            |reply: ReplyData, target: Vec<u8>| { reply.data(&target) }
        );
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_mode: u32,
        _: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let Some(kind) = kind_of_mode(new_mode) else { return reply.error(errno(Errno::INVAL)) };
        let (caller, parent, name) = (caller(request), inode(parent), bytes(name));
        let (mode, node) = (mode(new_mode), (kind, Device(device.into())));
        answer!(self, reply, |adapter| adapter.mknod(caller, (parent, &name), mode, node), entry);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_mode: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let (caller, parent, name) = (caller(request), inode(parent), bytes(name));
        let mode = mode(new_mode);
        answer!(self, reply, |adapter| adapter.mkdir(caller, (parent, &name), mode), entry);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (caller, parent, name) = (caller(request), inode(parent), bytes(name));
        answer!(self, reply, |adapter| adapter.unlink(caller, parent, &name), empty);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (caller, parent, name) = (caller(request), inode(parent), bytes(name));
        answer!(self, reply, |adapter| adapter.rmdir(caller, parent, &name), empty);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let (caller, parent, name) = (caller(request), inode(parent), bytes(name));
        let target = bytes(target.as_os_str());
        answer!(self, reply, |adapter| adapter.symlink(caller, (parent, &name), &target), entry);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (caller, from, name) = (caller(request), inode(parent), bytes(name));
        let (to, new_name, flags) = (inode(new_parent), bytes(new_name), flags.bits());
        answer!(
            self,
            reply,
            |adapter| adapter.rename(caller, (from, &name), (to, &new_name), flags),
            empty
        );
    }

    fn link(
        &self,
        request: &Request,
        file: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        let (caller, file, parent) = (caller(request), inode(file), inode(parent));
        let name = bytes(name);
        answer!(self, reply, |adapter| adapter.link(caller, file, (parent, &name)), entry);
    }

    fn access(&self, request: &Request, of: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let (caller, of, bits) = (caller(request), inode(of), (mask.bits() & 7) as u8);
        answer!(self, reply, |adapter| adapter.access(caller, of, bits), empty);
    }

    fn open(&self, request: &Request, of: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (caller, of, flags) = (caller(request), inode(of), Flags::new(flags.0));
        let treatment = self.treatment(flags);
        answer!(
            self,
            reply,
            |adapter| adapter.open(caller, of, flags),
            |reply: ReplyOpen, number| { reply.opened(FileHandle(number), treatment) }
        );
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (caller, parent, name) = (caller(request), inode(parent), bytes(name));
        let (mode, flags) = (mode(new_mode), Flags::new(flags));
        let treatment = self.treatment(flags);
        answer!(
            self,
            reply,
            |adapter| adapter.create(caller, (parent, &name), mode, flags),
            |reply: ReplyCreate, (made, number): (Attributes, u64)| {
                let handle = FileHandle(number);
                reply.created(&TTL, &attributes(&made), GENERATION, handle, treatment);
            }
        );
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        len: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let offset = FileOffset(offset);
        answer!(
            self,
            reply,
            |adapter| adapter.read(file.0, offset, len),
            |reply: ReplyData, data: bytes::BytesMut| { reply.data(&data) }
        );
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (offset, flags) = (FileOffset(offset), Flags::new(flags.0));
        let len = u32::try_from(data.len()).expect("no more than was asked for");
        if self.adapter.write_now(file.0, offset, data, flags) {
            return reply.written(len);
        }
        let data = Bytes::copy_from_slice(data);
        answer!(
            self,
            reply,
            |adapter| adapter.write(file.0, offset, data, flags),
            |reply: ReplyWrite, ()| reply.written(len)
        );
    }

    fn flush(&self, _: &Request, _: INodeNo, file: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        answer!(self, reply, |adapter| adapter.sync(file.0), empty);
    }

    fn fsync(&self, _: &Request, _: INodeNo, file: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(self, reply, |adapter| adapter.sync(file.0), empty);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let adapter = self.adapter.clone();
        self.runtime.spawn(async move {
            adapter.release(file.0).await;
            reply.ok();
        });
    }

    fn opendir(&self, request: &Request, of: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let (caller, of) = (caller(request), inode(of));
        answer!(self, reply, |adapter| adapter.opendir(caller, of), |reply: ReplyOpen, number| {
            reply.opened(FileHandle(number), FopenFlags::empty());
        });
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        directory: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let adapter = self.adapter.clone();
        self.runtime.spawn(async move {
            let add = |entry: &Listed| {
                let (number, name) = (INodeNo(entry.inode.0), OsStr::from_bytes(&entry.name));
                reply.add(number, entry.offset, file_type(entry.kind), name)
            };
            match fill(&adapter, directory.0, offset, false, add).await {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn readdirplus(
        &self,
        _: &Request,
        _: INodeNo,
        directory: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let adapter = self.adapter.clone();
        self.runtime.spawn(async move {
            let add = |entry: &Listed| {
                let known = entry.attributes.as_ref().map(attributes);
                let known = known.unwrap_or_else(|| bare(entry.inode, entry.kind));
                let name = OsStr::from_bytes(&entry.name);
                reply.add(known.ino, entry.offset, name, &TTL, &known, GENERATION)
            };
            match fill(&adapter, directory.0, offset, true, add).await {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        directory: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.adapter.releasedir(directory.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // Names were safe when the calls that made them returned.
        reply.ok();
    }

    fn statfs(&self, request: &Request, _: INodeNo, reply: ReplyStatfs) {
        let caller = caller(request);
        answer!(
            self,
            reply,
            |adapter| adapter.statfs(caller),
            |reply: ReplyStatfs, space: emberfs_client::Space| {
                let blocks = |len: ByteLen| len.get() / u64::from(SPACE_UNIT);
                let (total, free) = (blocks(space.total), blocks(space.free));
                let (inodes, unit) = (space.inodes + INODES_FREE, SPACE_UNIT);
                reply.statfs(total, free, free, inodes, INODES_FREE, unit, NAME_MAX, unit);
            }
        );
    }
}
