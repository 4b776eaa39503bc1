//! The image as the kernel asks for it. Nothing is valid for longer than an answer takes, so whatever is
//! forgotten is forgotten at once; without power every call is refused.

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

use super::contents::PAGE;
use super::image::{About, Image, Number};
use super::luck::Luck;

/// For how long the kernel may use what it was told.
const TTL: Duration = Duration::ZERO;
/// Numbers are never used again.
const GENERATION: Generation = Generation(0);
/// What one write carries at most, in bytes.
const WRITE_MAX: u32 = 1 << 20;
/// What it says that it has room for, in pages: 64 GiB.
const ROOM: u64 = 1 << 24;
/// Bytes of a name at most.
const NAME_MAX: u32 = 255;

/// The disk, with the switch of its power. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    image: Image,
    is_off: bool,
}

impl Disk {
    /// Loses what was not synced; every call is refused from now on.
    pub(crate) fn power_off(&self, luck: &mut Luck) {
        let mut state = self.state();
        state.is_off = true;
        state.image.lose_power(luck);
    }

    pub(crate) fn power_on(&self) {
        self.state().is_off = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with it")
    }

    /// Does something, if there is power.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Image) -> Result<T, Errno>,
    ) -> Result<T, fuser::Errno> {
        let mut state = self.state();
        let done = if state.is_off { Err(Errno::IO) } else { work(&mut state.image) };
        done.map_err(|errno| fuser::Errno::from_i32(errno.raw_os_error()))
    }
}

fn number(of: INodeNo) -> Number {
    Number(of.0)
}

fn mode(bits: u32) -> u16 {
    (bits & 0o7777) as u16
}

fn kind(about: About) -> FileType {
    if about.is_directory { FileType::Directory } else { FileType::RegularFile }
}

fn attributes(about: About) -> FileAttr {
    let then = UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(about.number.0),
        size: about.len,
        blocks: about.len.div_ceil(512),
        atime: then,
        mtime: then,
        ctime: then,
        crtime: then,
        kind: kind(about),
        perm: about.mode,
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: PAGE as u32,
        flags: 0,
    }
}

/// Answers with what was done, or with why not.
macro_rules! answer {
    ($reply:ident, $done:expr, $ok:expr) => {
        match $done {
            Ok(done) => $ok($reply, done),
            Err(errno) => $reply.error(errno),
        }
    };
}

fn entry(reply: ReplyEntry, about: About) {
    reply.entry(&TTL, &attributes(about), GENERATION);
}

fn attr(reply: ReplyAttr, about: About) {
    reply.attr(&TTL, &attributes(about));
}

fn empty(reply: ReplyEmpty, (): ()) {
    reply.ok();
}

impl fuser::Filesystem for Disk {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // An older kernel does without.
        let _lacking = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        config.set_max_write(WRITE_MAX).expect("within what is read at once");
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, self.with(|image| image.lookup(number(parent), name)), entry);
    }

    fn getattr(&self, _: &Request, of: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.with(|image| image.about(number(of))), attr);
    }

    fn setattr(
        &self,
        _: &Request,
        of: INodeNo,
        new_mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let done = self.with(|image| {
            if let Some(bits) = new_mode {
                image.set_mode(number(of), mode(bits))?;
            }
            if let Some(len) = size {
                image.file(number(of))?.set_len(len);
            }
            image.about(number(of))
        });
        answer!(reply, done, attr);
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        bits: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let mode = mode(bits & !umask);
        answer!(reply, self.with(|image| image.make(number(parent), name, mode, true)), entry);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.with(|image| image.remove(number(parent), name, false)), empty);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.with(|image| image.remove(number(parent), name, true)), empty);
    }

    fn rename(
        &self,
        _: &Request,
        from: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (from, to) = ((number(from), name), (number(to), new_name));
        let plain = flags.is_empty();
        let done =
            self.with(|image| if plain { image.rename(from, to) } else { Err(Errno::INVAL) });
        answer!(reply, done, empty);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        bits: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mode = mode(bits & !umask);
        let done = self.with(|image| {
            let made = image.make(number(parent), name, mode, false)?;
            image.open(made.number)?;
            Ok(made)
        });
        answer!(reply, done, |reply: ReplyCreate, made| {
            let (made, handle) = (attributes(made), FileHandle(0));
            reply.created(&TTL, &made, GENERATION, handle, FopenFlags::empty());
        });
    }

    fn open(&self, _: &Request, of: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        answer!(reply, self.with(|image| image.open(number(of))), |reply: ReplyOpen, ()| {
            reply.opened(FileHandle(0), FopenFlags::empty());
        });
    }

    fn release(
        &self,
        _: &Request,
        of: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        // A dead process closes its files also where there is no power.
        self.state().image.close(number(of));
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        of: INodeNo,
        _: FileHandle,
        offset: u64,
        len: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let done = self.with(|image| Ok(image.file(number(of))?.read(offset, len as usize)));
        answer!(reply, done, |reply: ReplyData, bytes: Vec<u8>| reply.data(&bytes));
    }

    fn write(
        &self,
        _: &Request,
        of: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let synced = OFlags::from_bits_retain(flags.0.cast_unsigned()).contains(OFlags::DSYNC);
        let done = self.with(|image| {
            let file = image.file(number(of))?;
            file.write(offset, data);
            if synced {
                file.sync();
            }
            Ok(data.len() as u32)
        });
        answer!(reply, done, |reply: ReplyWrite, len| reply.written(len));
    }

    fn fallocate(
        &self,
        _: &Request,
        of: INodeNo,
        _: FileHandle,
        offset: u64,
        len: u64,
        flags: i32,
        reply: ReplyEmpty,
    ) {
        let flags = FallocateFlags::from_bits_retain(flags.cast_unsigned());
        let done = self.with(|image| {
            let file = image.file(number(of))?;
            if flags.is_empty() {
                file.set_len(file.len().max(offset + len));
            } else if flags != FallocateFlags::KEEP_SIZE {
                return Err(Errno::OPNOTSUPP);
            }
            Ok(())
        });
        answer!(reply, done, empty);
    }

    fn fsync(&self, _: &Request, of: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.with(|image| image.sync(number(of))), empty);
    }

    fn fsyncdir(&self, _: &Request, of: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.with(|image| image.sync(number(of))), empty);
    }

    fn readdir(
        &self,
        _: &Request,
        of: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.with(|image| image.list(number(of))) {
            Ok(entries) => {
                let ahead = entries.into_iter().zip(1..).skip(offset as usize);
                let mut full = ahead.map(|((name, about), next)| {
                    reply.add(INodeNo(about.number.0), next, kind(about), name)
                });
                let _rest_follows = full.any(|full| full);
                drop(full);
                reply.ok();
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        answer!(reply, self.with(|_| Ok(())), |reply: ReplyStatfs, ()| {
            let page = PAGE as u32;
            reply.statfs(ROOM, ROOM, ROOM, ROOM, ROOM, page, NAME_MAX, page);
        });
    }
}
