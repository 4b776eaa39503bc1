//! Open files and their bytes.

use bytes::Bytes;
use emberfs_client::{FileOffset, InodeId};

use super::patience::Patience;
use super::{Answered, Calls, Handled, Numbered, Outcome, Task, caller, done_task, position};
use crate::adapter::Flags;
use crate::session::convert::{attributes, mode};
use crate::session::incoming::Request;
use crate::session::protocol::{Create, Open, OpenFile, Read, Write, created, opened, written};

/// What the kernel calls the flags of an open file.
fn flags(bits: u32) -> Flags {
    Flags::new(bits.cast_signed())
}

pub(super) fn open(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let flags = flags(Open::parse(&mut request.fields)?.flags);
    let (caller, of) = (caller(request), InodeId(request.header.node));
    let (adapter, treatment) = (calls.adapter.clone(), calls.treatment(flags));
    let work = async move {
        let number = adapter.open(caller, of, flags).await?;
        Ok((opened(number, treatment), Numbered::File(number)))
    };
    let task = Task::opening(work);
    // Whoever opens a file to write wants that which is there when all before is done.
    Ok(Outcome::Task(if flags.writes() { task.changing(&calls.left) } else { task }))
}

pub(super) fn create(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let asked = Create::parse(&mut request.fields)?;
    let (mode, flags) = (mode(asked.mode), flags(asked.flags));
    let ((parent, name), caller) = (position(request)?, caller(request));
    let (adapter, treatment) = (calls.adapter.clone(), calls.treatment(flags));
    let work = async move {
        let (made, number) = adapter.create(caller, (parent, &name), mode, flags).await?;
        Ok((created(&attributes(&made), number, treatment), Numbered::File(number)))
    };
    Ok(Outcome::Task(Task::opening(work).changing(&calls.left)))
}

pub(super) fn read(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let asked = Read::parse(&mut request.fields)?;
    let (adapter, offset) = (calls.adapter.clone(), FileOffset(asked.offset));
    let work =
        async move { adapter.read(asked.file, offset, asked.size).await.map(Answered::from) };
    // A page is read for a map of the file too, whose program would die of a failure.
    let patience = if asked.fills_pages() { Patience::Death } else { Patience::Signal };
    Ok(Outcome::Task(Task::new(work).with(patience)))
}

pub(super) fn write(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let asked = Write::parse(&mut request.fields)?;
    let (file, offset, flags) = (asked.file, FileOffset(asked.offset), flags(asked.flags));
    let data = request.data(asked.size)?;
    if calls.adapter.write_now(file, offset, data.bytes(), flags) {
        return Ok(Outcome::Done(Bytes::from(written(asked.size))));
    }
    let (adapter, data) = (calls.adapter.clone(), data.keep(asked.writes_back())?);
    let work = async move {
        adapter.write(file, offset, data, flags).await?;
        Ok(written(asked.size))
    };
    // A program that writes again at the same place, after EINTR, has written once; one that appends again, twice.
    if flags.appends() { calls.change(work) } else { super::task(work) }
}

/// Each close of a descriptor.
pub(super) fn flush(calls: &Calls, request: &mut Request<'_>) -> Handled {
    synced(calls, request, Patience::Close)
}

pub(super) fn fsync(calls: &Calls, request: &mut Request<'_>) -> Handled {
    synced(calls, request, Patience::Signal)
}

fn synced(calls: &Calls, request: &mut Request<'_>, patience: Patience) -> Handled {
    let OpenFile { file } = OpenFile::parse(&mut request.fields)?;
    let adapter = calls.adapter.clone();
    let task = done_task(async move { adapter.sync(file).await });
    Ok(Outcome::Task(task.with(patience)))
}

/// The last descriptor is gone.
pub(super) fn release(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let OpenFile { file } = OpenFile::parse(&mut request.fields)?;
    let adapter = calls.adapter.clone();
    let task = done_task(async move {
        adapter.release(file).await;
        Ok(())
    });
    Ok(Outcome::Task(task.with(Patience::Endless)))
}
