//! A file system in memory, mounted by FUSE: what passing through the kernel costs, with nothing behind it.
//!
//! Four files, each written and read in place; the kernel is told as little and as much as EmberFS's mount tells it.
//! It answers in the threads that read requests, as there is nothing to wait for.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Args;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, WriteFlags,
};

use crate::files::{FILE_BYTES, FILES, name};

/// For how long the kernel may use what it was told.
const TTL: Duration = Duration::ZERO;
/// The root's number; those of the files follow.
const ROOT: u64 = 1;
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

/// The files, by number.
struct Memory(Vec<RwLock<Vec<u8>>>);

/// Mounts, and serves until standard input ends.
pub(crate) fn run(args: &MemoryMount) -> Result<()> {
    let bytes = usize::try_from(FILE_BYTES)?;
    let memory = Memory((0..FILES).map(|number| RwLock::new(vec![number as u8; bytes])).collect());
    let mut config = fuser::Config::default();
    config.mount_options = vec![fuser::MountOption::FSName("bare-pipeline".to_owned())];
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    let _session = fuser::Session::new(memory, &args.at, &config)?.spawn()?;
    println!("{{}}");
    let ended = io::stdin().read_to_end(&mut Vec::new());
    let unmounted = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(&args.at).status()?;
    ended.context("standard input")?;
    ensure!(unmounted.success(), "{} is not unmounted", args.at.display());
    Ok(())
}

impl Memory {
    fn attributes(&self, number: INodeNo) -> Option<FileAttr> {
        let file = || self.0.get(usize::try_from(number.0 - ROOT - 1).ok()?);
        let size = match number.0 {
            ROOT => 0,
            _ => file()?.read().unwrap_or_else(PoisonError::into_inner).len() as u64,
        };
        let is_root = number.0 == ROOT;
        Some(FileAttr {
            ino: number,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_root { FileType::Directory } else { FileType::RegularFile },
            perm: if is_root { 0o755 } else { 0o644 },
            nlink: 1,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn file(&self, number: INodeNo) -> Option<&RwLock<Vec<u8>>> {
        self.0.get(usize::try_from(number.0.checked_sub(ROOT + 1)?).ok()?)
    }
}

impl fuser::Filesystem for Memory {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // An older kernel does without.
        let _lacking = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        config.set_max_write(WRITE_MAX).expect("within what is read at once");
        config.set_max_background(BACKGROUND_MAX).expect("more than none");
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, wanted: &OsStr, reply: ReplyEntry) {
        let number = (0..FILES).find(|number| *name(*number) == *wanted);
        let found = number.and_then(|number| self.attributes(INodeNo(ROOT + 1 + number as u64)));
        match found {
            Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, of: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(of) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
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
        let Some(file) = self.file(of) else { return reply.error(Errno::ENOENT) };
        let bytes = file.read().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let to = from.saturating_add(len as usize).min(bytes.len());
        reply.data(&bytes[from..to]);
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
        let Some(file) = self.file(of) else { return reply.error(Errno::ENOENT) };
        let mut bytes = file.write().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        match bytes.get_mut(from..from.saturating_add(data.len())) {
            Some(place) => place.copy_from_slice(data),
            None => return reply.error(Errno::EFBIG),
        }
        reply.written(u32::try_from(data.len()).expect("no more than a write carries"));
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }
}
