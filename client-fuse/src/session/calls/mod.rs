//! Each request of the kernel, handed to the adapter; by group, as there.
//!
//! A handler reads what the request carries, and says what becomes of it: an [`Outcome`]. It waits for nothing:
//! what takes time is a future, which `task` runs and answers with.
//!
//! What is not in the [`TABLE`] is answered with ENOSYS. The kernel then never asks again, and programs see what
//! they know how to do without: EOPNOTSUPP for `fallocate` and extended attributes, a copy through the program for
//! `copy_file_range`, locks that hold on this mount.

mod attributes;
mod directories;
mod dying;
mod files;
mod left;
mod names;
mod patience;
mod task;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use emberfs_client::InodeId;
use tokio::runtime::Handle;

use super::device::Device;
use super::incoming::{Full, Request};
use super::interrupts::Interrupts;
use super::protocol::{Interrupt, Malformed, OpenFlags};
use super::reply::Reply;
use crate::adapter::{Adapter, Flags};
use crate::caller::Caller;
use crate::errno::Errno;
use crate::metered::{CallMeters, Metered};
use dying::Dying;
use left::Left;
use patience::Waiter;
use task::{Answered, Numbered, Task};

/// The calls of one mount.
#[derive(Debug)]
pub(super) struct Calls {
    adapter: Arc<Adapter>,
    runtime: Handle,
    direct_io: bool,
    interrupts: Interrupts,
    left: Left,
    dying: Dying,
}

/// What becomes of a request.
enum Outcome {
    /// It has no answer.
    Unanswered,
    /// It is answered already.
    Done(Bytes),
    /// It takes time.
    Task(Task),
}

/// What it becomes, or why it is refused.
type Handled = Result<Outcome, Errno>;

/// One kind of request.
struct Row {
    opcode: u32,
    /// What metrics call it.
    name: &'static str,
    handler: fn(&Calls, &mut Request<'_>) -> Handled,
}

const fn row(
    opcode: u32,
    name: &'static str,
    handler: fn(&Calls, &mut Request<'_>) -> Handled,
) -> Row {
    Row { opcode, name, handler }
}

/// Every kind that is served, by its number in `linux/fuse.h`.
const TABLE: &[Row] = &[
    row(1, "lookup", names::lookup),
    row(2, "forget", unanswered), // FORGET: there is nothing to be forgotten
    row(3, "getattr", attributes::getattr),
    row(4, "setattr", attributes::setattr),
    row(5, "readlink", names::readlink),
    row(6, "symlink", names::symlink),
    row(8, "mknod", names::mknod),
    row(9, "mkdir", names::mkdir),
    row(10, "unlink", names::unlink),
    row(11, "rmdir", names::rmdir),
    row(12, "rename", names::rename),
    row(13, "link", names::link),
    row(14, "open", files::open),
    row(15, "read", files::read),
    row(16, "write", files::write),
    row(17, "statfs", attributes::statfs),
    row(18, "release", files::release),
    row(20, "fsync", files::fsync),
    row(25, "flush", files::flush),
    row(27, "opendir", directories::opendir),
    row(28, "readdir", directories::readdir),
    row(29, "releasedir", directories::releasedir),
    row(30, "fsyncdir", directories::fsyncdir),
    row(34, "access", attributes::access),
    row(35, "create", files::create),
    row(36, "interrupt", interrupt),
    row(38, "destroy", nothing), // DESTROY: the kernel says good-bye
    row(42, "batch_forget", unanswered), // BATCH_FORGET
    row(44, "readdirplus", directories::readdirplus),
    row(45, "rename2", names::rename2),
];

/// What is counted of each, in the same order.
static METERS: [OnceLock<CallMeters>; TABLE.len()] = [const { OnceLock::new() }; TABLE.len()];

impl From<Malformed> for Errno {
    fn from(error: Malformed) -> Self {
        tracing::error!(%error, "refused");
        Self::IO
    }
}

/// What POSIX has for a write for which the system has no memory.
impl From<Full> for Errno {
    fn from(_: Full) -> Self {
        Self::NOBUFS
    }
}

impl Calls {
    pub(super) fn new(adapter: Arc<Adapter>, runtime: Handle, direct_io: bool) -> Self {
        let (interrupts, left, dying) = (Interrupts::default(), Left::default(), Dying::default());
        Self { adapter, runtime, direct_io, interrupts, left, dying }
    }

    /// Serves a request that was read from this descriptor: answers it, or starts the task that will.
    pub(super) fn serve(&self, device: &Arc<Device>, mut request: Request<'_>) {
        let header = request.header;
        let reply = Reply::new(device, header.unique);
        let Some(place) = TABLE.iter().position(|row| row.opcode == header.opcode) else {
            reply.send(Err(Errno::NOSYS));
            return;
        };
        let row = &TABLE[place];
        let meters = METERS[place].get_or_init(|| CallMeters::new(row.name));
        let reply = reply.counted(Metered::begin(meters));
        match (row.handler)(self, &mut request) {
            Ok(Outcome::Unanswered) => reply.withhold(),
            Ok(Outcome::Done(body)) => {
                reply.send(Ok(&body));
            }
            Ok(Outcome::Task(task)) => {
                let (running, adapter) =
                    (self.interrupts.begin(header.unique), self.adapter.clone());
                let close = |opened| close(adapter, opened);
                let waiter = Waiter { thread: header.pid, dying: self.dying.clone() };
                let task = task.of(waiter);
                self.runtime.spawn(task.run(running, reply, close));
            }
            Err(errno) => {
                reply.send(Err(errno));
            }
        }
    }

    /// How the kernel shall treat a file that is open with these flags.
    ///
    /// With O_DIRECT it is told what it would do anyway, but not in the background: there nobody could be
    /// interrupted who waits.
    fn treatment(&self, flags: Flags) -> OpenFlags {
        match (flags.appends(), self.direct_io || flags.is_direct()) {
            // Where an append goes is known only when it is done: no page may say so before.
            (true, _) => OpenFlags::DIRECT_IO,
            (false, true) => OpenFlags::DIRECT_IO_PARALLEL,
            (false, false) => OpenFlags::default(),
        }
    }
}

/// Closes what the kernel knows nothing of, and so will never close.
async fn close(adapter: Arc<Adapter>, opened: Numbered) {
    match opened {
        Numbered::File(number) => adapter.release(number).await,
        Numbered::Directory(number) => adapter.releasedir(number),
    }
}

/// A task that answers with what `work` comes to.
fn task(work: impl Future<Output = Result<Vec<u8>, Errno>> + Send + 'static) -> Handled {
    Ok(Outcome::Task(Task::new(async move { Ok(Answered::from(work.await?)) })))
}

impl Calls {
    /// A task that changes something, and answers with what `work` comes to.
    fn change(
        &self,
        work: impl Future<Output = Result<Vec<u8>, Errno>> + Send + 'static,
    ) -> Handled {
        let task = Task::new(async move { Ok(Answered::from(work.await?)) });
        Ok(Outcome::Task(task.changing(&self.left)))
    }
}

/// One whose answer is that it is done.
fn done(work: impl Future<Output = Result<(), Errno>> + Send + 'static) -> Handled {
    Ok(Outcome::Task(done_task(work)))
}

fn done_task(work: impl Future<Output = Result<(), Errno>> + Send + 'static) -> Task {
    Task::new(async move { work.await.map(|()| Answered::default()) })
}

/// The directory that a request is about, and the name in it that it carries next.
fn position(request: &mut Request<'_>) -> Result<(InodeId, Vec<u8>), Errno> {
    let name = request.fields.name()?.to_vec();
    Ok((InodeId(request.header.node), name))
}

fn caller(request: &Request<'_>) -> Caller {
    let header = &request.header;
    Caller { uid: header.uid, gid: header.gid, pid: header.pid }
}

#[expect(clippy::unnecessary_wraps, reason = "a handler")]
fn unanswered(_: &Calls, _: &mut Request<'_>) -> Handled {
    Ok(Outcome::Unanswered)
}

#[expect(clippy::unnecessary_wraps, reason = "a handler")]
fn nothing(_: &Calls, _: &mut Request<'_>) -> Handled {
    Ok(Outcome::Done(Bytes::new()))
}

fn interrupt(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let Interrupt { unique } = Interrupt::parse(&mut request.fields)?;
    calls.interrupts.interrupt(unique);
    Ok(Outcome::Unanswered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_stands_once_in_the_order_of_its_number() {
        assert!(TABLE.windows(2).all(|two| two[0].opcode < two[1].opcode));
    }
}
