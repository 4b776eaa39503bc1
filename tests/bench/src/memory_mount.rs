//! A file system in memory, mounted by FUSE: what passing through the kernel costs, with nothing behind it.
//!
//! The kernel is told as little and as much as EmberFS's mount tells it. It answers in the threads that read requests,
//! as there is nothing to wait for.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::Args;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::memory::Memory;

/// For how long the kernel may use what it was told.
const TTL: Duration = Duration::ZERO;
const GENERATION: Generation = Generation(0);
/// As of EmberFS's mount: what one write carries, requests of the kernel's own accord, threads.
const WRITE_MAX: u32 = 1 << 20;
const BACKGROUND_MAX: u16 = 256;
const THREADS: usize = 2;

#[derive(Args)]
pub(crate) struct MemoryMount {
    /// An empty directory
    #[arg(long)]
    at: PathBuf,
}

/// What is mounted.
struct Mount(RwLock<Memory>);

/// Mounts, and serves until standard input ends.
pub(crate) fn run(args: &MemoryMount) -> Result<()> {
    let mut config = fuser::Config::default();
    config.mount_options = vec![fuser::MountOption::FSName("bare-pipeline".to_owned())];
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    let mount = Mount(RwLock::default());
    let _session = fuser::Session::new(mount, &args.at, &config)?.spawn()?;
    println!("{{}}");
    let ended = io::stdin().read_to_end(&mut Vec::new());
    let unmounted = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(&args.at).status()?;
    ended.context("standard input")?;
    ensure!(unmounted.success(), "{} is not unmounted", args.at.display());
    Ok(())
}

impl Mount {
    fn now(&self) -> RwLockReadGuard<'_, Memory> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Memory> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(reply: ReplyEntry, found: Result<FileAttr, Errno>) {
    match found {
        Ok(attributes) => reply.entry(&TTL, &attributes, GENERATION),
        Err(error) => reply.error(error),
    }
}

fn attr(reply: ReplyAttr, found: Result<FileAttr, Errno>) {
    match found {
        Ok(attributes) => reply.attr(&TTL, &attributes),
        Err(error) => reply.error(error),
    }
}

fn empty(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl fuser::Filesystem for Mount {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // An older kernel does without.
        let _lacking = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        config.set_max_write(WRITE_MAX).expect("within what is read at once");
        config.set_max_background(BACKGROUND_MAX).expect("more than none");
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.now().find(parent, name));
    }

    fn getattr(&self, _: &Request, of: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attr(reply, self.now().attributes(of));
    }

    fn setattr(
        &self,
        _: &Request,
        of: INodeNo,
        _: Option<u32>,
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
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut memory = self.change();
        let cut = size.map_or(Ok(()), |size| {
            let size = usize::try_from(size).map_err(|_| Errno::EFBIG)?;
            memory.bytes_mut(of)?.resize(size, 0);
            Ok(())
        });
        attr(reply, cut.and_then(|()| memory.attributes(of)));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        entry(reply, self.change().make(parent, name, FileType::Directory));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.change().make(parent, name, FileType::RegularFile) {
            Ok(made) => {
                reply.created(&TTL, &made, GENERATION, FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.change().remove(parent, name));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.change().remove(parent, name));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
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
        match self.now().bytes(of) {
            Ok(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let to = from.saturating_add(len as usize).min(bytes.len());
                reply.data(&bytes[from..to]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        of: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut memory = self.change();
        let bytes = match memory.bytes_mut(of) {
            Ok(bytes) => bytes,
            Err(error) => return reply.error(error),
        };
        let Some(to) = usize::try_from(offset).ok().and_then(|at| at.checked_add(data.len()))
        else {
            return reply.error(Errno::EFBIG);
        };
        if bytes.len() < to {
            bytes.resize(to, 0);
        }
        bytes[to - data.len()..to].copy_from_slice(data);
        reply.written(u32::try_from(data.len()).expect("no more than a write carries"));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        of: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.now().listed(of, offset) {
            Ok(listed) => {
                for (name, number, kind) in listed {
                    if reply.add(number, number.0, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }
}
