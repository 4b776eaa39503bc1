//! Open directories and their entries.

use emberfs_client::InodeId;

use super::{Calls, Handled, Numbered, Outcome, Task, caller, nothing, task};
use crate::adapter::{Adapter, Listed};
use crate::errno::Errno;
use crate::session::convert::{attributes, bare, type_bits};
use crate::session::incoming::Request;
use crate::session::protocol::{DirectoryEntry, Entries, OpenFile, OpenFlags, Read, opened};

/// Entries asked for first: what the smallest of the kernel's buffers takes; then ever more.
const ENTRIES_FIRST: u32 = 32;
/// Entries asked for at once at most: what the largest takes.
const ENTRIES_MAX: u32 = 1024;

pub(super) fn opendir(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let (caller, of) = (caller(request), InodeId(request.header.node));
    let adapter = calls.adapter.clone();
    let work = async move {
        let number = adapter.opendir(caller, of).await?;
        Ok((opened(number, OpenFlags::default()), Numbered::Directory(number)))
    };
    Ok(Outcome::Task(Task::opening(work)))
}

pub(super) fn readdir(calls: &Calls, request: &mut Request<'_>) -> Handled {
    listed(calls, request, false)
}

pub(super) fn readdirplus(calls: &Calls, request: &mut Request<'_>) -> Handled {
    listed(calls, request, true)
}

fn listed(calls: &Calls, request: &mut Request<'_>, with_attributes: bool) -> Handled {
    let Read { file: directory, offset, size, .. } = Read::parse(&mut request.fields)?;
    let adapter = calls.adapter.clone();
    task(async move {
        let mut entries = Entries::new(size);
        fill(&adapter, directory, offset, with_attributes, |listed| {
            let known = listed.attributes.as_ref().map(attributes);
            let known = known.unwrap_or_else(|| bare(listed.inode, listed.kind));
            let entry = DirectoryEntry {
                inode: listed.inode.0,
                offset: listed.offset,
                kind: type_bits(listed.kind),
                name: &listed.name,
            };
            entries.add(entry, with_attributes.then_some(&known))
        })
        .await?;
        Ok(entries.into_bytes())
    })
}

/// Hands entries to `add` until it has no room or there are no more.
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
        if !listed.iter().all(&mut add) {
            return Ok(());
        }
        let Some(next) = next else { return Ok(()) };
        (offset, limit) = (next, (2 * limit).min(ENTRIES_MAX));
    }
}

pub(super) fn releasedir(calls: &Calls, request: &mut Request<'_>) -> Handled {
    let OpenFile { file: directory } = OpenFile::parse(&mut request.fields)?;
    calls.adapter.releasedir(directory);
    nothing(calls, request)
}

/// Names were safe when the calls that made them returned.
pub(super) fn fsyncdir(calls: &Calls, request: &mut Request<'_>) -> Handled {
    nothing(calls, request)
}
