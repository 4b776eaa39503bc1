//! Attributes, who may do what, and how much room there is.

use emberfs_client::{ByteLen, InodeId};

use super::{Calls, Handled, caller, done, task};
use crate::adapter::Change;
use crate::session::convert::{attr, mode, set_time};
use crate::session::incoming::Request;
use crate::session::protocol::{Access, SetAttr, Space, space};

/// The unit of `statfs`, in bytes.
const SPACE_UNIT: u32 = 4096;
/// Inodes that `statfs` says are free: they are made as they are needed.
const INODES_FREE: u64 = 1 << 32;
/// Bytes of a name at most.
const NAME_MAX: u32 = 255;

pub(super) fn getattr(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let (caller, of) = (caller(request), InodeId(request.header.node));
    let adapter = calls.adapter.clone();
    task(async move { adapter.getattr(caller, of).await.map(|found| attr(&found)) })
}

pub(super) fn setattr(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let asked = SetAttr::parse(&mut request.fields)?;
    let (caller, of) = (caller(request), InodeId(request.header.node));
    let SetAttr { uid, gid, file: through, .. } = asked;
    let (atime, mtime) = (asked.atime.map(set_time), asked.mtime.map(set_time));
    let (size, mode) = (asked.size.map(ByteLen), asked.mode.map(mode));
    let change = Change { mode, uid, gid, size, atime, mtime, through };
    let adapter = calls.adapter.clone();
    calls.change(async move {
        let changed = adapter.setattr(caller, of, change).await?;
        Ok(attr(&changed))
    })
}

pub(super) fn access(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let Access { mask } = Access::parse(&mut request.fields)?;
    let (caller, of, bits) = (caller(request), InodeId(request.header.node), (mask & 7) as u8);
    let adapter = calls.adapter.clone();
    done(async move { adapter.access(caller, of, bits).await })
}

pub(super) fn statfs(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let (adapter, caller) = (calls.adapter.clone(), caller(request));
    task(async move {
        let found = adapter.statfs(caller).await?;
        let blocks = |len: ByteLen| len.get() / u64::from(SPACE_UNIT);
        Ok(space(&Space {
            total: blocks(found.total),
            free: blocks(found.free),
            inodes: found.inodes + INODES_FREE,
            inodes_free: INODES_FREE,
            unit: SPACE_UNIT,
            name_max: NAME_MAX,
        }))
    })
}
