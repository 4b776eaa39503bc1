//! Names: finding, making, moving and removing them.

use emberfs_client::{Attributes, Device, InodeId, RemoveKind};

use super::{Calls, Handled, caller, position, task};
use crate::errno::Errno;
use crate::session::convert::{entry, kind_of_mode, mode};
use crate::session::incoming::Request;
use crate::session::protocol::{Link, MakeDirectory, MakeNode, Rename, Rename2};

pub(super) fn lookup(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let ((parent, name), caller) = (position(request)?, caller(request));
    let adapter = calls.adapter.clone();
    task(async move { adapter.lookup(caller, parent, &name).await.map(|found| entry(&found)) })
}

pub(super) fn readlink(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let (caller, link) = (caller(request), InodeId(request.header.node));
    let adapter = calls.adapter.clone();
    task(async move { adapter.readlink(caller, link).await })
}

pub(super) fn mknod(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let asked = MakeNode::parse(&mut request.fields)?;
    let kind = kind_of_mode(asked.mode).ok_or(Errno::INVAL)?;
    let ((parent, name), caller) = (position(request)?, caller(request));
    let (mode, node) = (mode(asked.mode), (kind, Device(asked.device.into())));
    let adapter = calls.adapter.clone();
    made(calls, async move { adapter.mknod(caller, (parent, &name), mode, node).await })
}

pub(super) fn mkdir(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let asked = MakeDirectory::parse(&mut request.fields)?;
    let ((parent, name), caller) = (position(request)?, caller(request));
    let (adapter, mode) = (calls.adapter.clone(), mode(asked.mode));
    made(calls, async move { adapter.mkdir(caller, (parent, &name), mode).await })
}

pub(super) fn symlink(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let ((parent, name), caller) = (position(request)?, caller(request));
    let target = request.fields.name()?.to_vec();
    let adapter = calls.adapter.clone();
    made(calls, async move { adapter.symlink(caller, (parent, &name), &target).await })
}

pub(super) fn link(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let file = InodeId(Link::parse(&mut request.fields)?.file);
    let ((parent, name), caller) = (position(request)?, caller(request));
    let adapter = calls.adapter.clone();
    made(calls, async move { adapter.link(caller, file, (parent, &name)).await })
}

/// A task that makes a name, and answers with what has it.
fn made(
    calls: &Calls,
    work: impl Future<Output = Result<Attributes, Errno>> + Send + 'static,
) -> Handled {
    calls.change(async move { work.await.map(|made| entry(&made)) })
}

pub(super) fn unlink(calls: &Calls, request: &mut Request<'_>) -> Handled {
    removed(calls, request, RemoveKind::File)
}

pub(super) fn rmdir(calls: &Calls, request: &mut Request<'_>) -> Handled {
    removed(calls, request, RemoveKind::Directory)
}

fn removed(calls: &Calls, request: &mut Request<'_>, kind: RemoveKind) -> Handled {
    let ((parent, name), caller) = (position(request)?, caller(request));
    let adapter = calls.adapter.clone();
    calls.change(async move {
        adapter.remove(caller, (parent, &name), kind).await?;
        Ok(Vec::new())
    })
}

pub(super) fn rename(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let Rename { new_parent } = Rename::parse(&mut request.fields)?;
    renamed(calls, request, new_parent, 0)
}

pub(super) fn rename2(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let Rename2 { new_parent, flags } = Rename2::parse(&mut request.fields)?;
    renamed(calls, request, new_parent, flags)
}

fn renamed(calls: &Calls, request: &mut Request<'_>, new_parent: u64, flags: u32) -> Handled {
    let ((parent, name), caller) = (position(request)?, caller(request));
    let (new_parent, new_name) = (InodeId(new_parent), request.fields.name()?.to_vec());
    let adapter = calls.adapter.clone();
    calls.change(async move {
        adapter.rename(caller, (parent, &name), (new_parent, &new_name), flags).await?;
        Ok(Vec::new())
    })
}
