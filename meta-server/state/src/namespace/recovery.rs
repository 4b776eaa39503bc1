//! Lengths that only the chains know.
//!
//! * When a session ends with a file open for writing, its last bytes may never have been reported.
//! * When a report names bytes behind the end that may be from before a cut (`writer`), they were cut away
//!   or make the file longer.
//!
//! The file is marked, and the leader asks its chains for the last chunk before it answers with the file's
//! length; also another leader, after all have lost power. Only a report is answered at once, so that a file
//! can be closed while a chain is away: what it said is safe with the mark, and whoever asks how long the file
//! is waits. The chains are asked only after every server has confirmed that it refuses the late writes of ended
//! sessions, and while no truncation of the file stands. Each death, cut and such report starts a new round: an
//! answer to an older one says nothing and is dropped. As a report's answer says which cut was the last, what a
//! writer had on its way then is all that it can start rounds by.

use emberfs_layout::{ByteLen, InodeId, Sequence};
use emberfs_wire::meta::Time;
use emberfs_wire::meta::inode::FileData;
use minicbor::{Decode, Encode};

use crate::command::Unfinished;
use crate::keys::{Kind, end_of, key};
use crate::transaction::{StoreError, Transaction, View, get_record, put_record};

use super::counters::count;
use super::inode;
use super::stop::Stop;
use super::truncation::{file_of, inode_of, pending};

/// Value of [`Kind::LengthRecovery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Asked {
    /// In which round.
    #[n(0)]
    round: Sequence,
}

/// A file whose chains must be asked where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthWork {
    /// Which file.
    pub inode: InodeId,
    /// The round, to be named with the answer.
    pub round: Sequence,
    /// Its bytes.
    pub data: FileData,
}

fn recovery_key(id: InodeId) -> Vec<u8> {
    key(Kind::LengthRecovery, &[&id.0.to_be_bytes()])
}

/// Starts a new round for this file. The caller marks its inode.
pub(super) fn ask_anew(txn: &mut dyn Transaction, id: InodeId) -> Result<(), StoreError> {
    let counters = count(txn, |counters| counters.round = counters.round.next())?;
    put_record(txn, &recovery_key(id), &Asked { round: counters.round });
    Ok(())
}

/// The chains said where the file ends.
///
/// # Errors
/// [`StoreError`].
pub fn finish(
    txn: &mut dyn Transaction,
    now: Time,
    id: InodeId,
    end: ByteLen,
    round: Sequence,
) -> Result<(), StoreError> {
    let asked = get_record(txn, &recovery_key(id))? == Some(Asked { round });
    if !asked || pending(txn, id)?.is_some() {
        return Ok(());
    }
    forget(txn, id);
    inode::edit(txn, id, |inode| {
        inode.touch(now);
        let Some(file) = inode.file_mut() else { return };
        file.recovering = false;
        if end > file.len {
            file.len = end;
            inode.mtime = now;
        }
    })?;
    Ok(())
}

/// Stops what would be answered with this inode's length while that is in doubt.
pub(super) fn check_settled(view: &dyn View, id: InodeId) -> Result<(), Stop> {
    if view.get(&recovery_key(id))?.is_none() {
        return Ok(());
    }
    let cut = pending(view, id)?;
    Err(Stop::Blocked(cut.map_or(Unfinished::Length(id), Unfinished::Truncation)))
}

pub(super) fn forget(txn: &mut dyn Transaction, id: InodeId) {
    txn.delete(&recovery_key(id));
}

/// Whether and how the chains must be asked for this file's length. `None` also while a truncation of
/// it stands: finish that first.
///
/// # Errors
/// [`StoreError`].
pub fn length_recovery(view: &dyn View, inode: InodeId) -> Result<Option<LengthWork>, StoreError> {
    let Some(Asked { round }) = get_record(view, &recovery_key(inode))? else { return Ok(None) };
    if pending(view, inode)?.is_some() {
        return Ok(None);
    }
    Ok(Some(LengthWork { inode, round, data: file_of(view, inode)?.data() }))
}

/// All files among the next `limit` behind `after` (from the first, if `None`) whose chains can be asked
/// now; and behind which to go on, if there are more.
///
/// # Errors
/// [`StoreError`].
pub fn length_recoveries(
    view: &dyn View,
    after: Option<InodeId>,
    limit: usize,
) -> Result<(Vec<LengthWork>, Option<InodeId>), StoreError> {
    let from = recovery_key(after.map_or(InodeId(0), |id| InodeId(id.0.saturating_add(1))));
    let pairs = view.scan(&from, &end_of(&key(Kind::LengthRecovery, &[])), limit)?;
    let mut work = Vec::new();
    for (key, _) in &pairs {
        work.extend(length_recovery(view, inode_of(key))?);
    }
    let more = pairs.last().filter(|_| pairs.len() == limit);
    Ok((work, more.map(|(key, _)| inode_of(key))))
}
