//! Why an operation stops before its end: nothing that it wrote until then takes effect.

use emberfs_wire::FsError;

use crate::command::Unfinished;
use crate::transaction::StoreError;

/// Why an operation stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The member cannot go on.
    Store(StoreError),
    /// The answer is no.
    Refused(FsError),
    /// The caller's groups decide, and were not given.
    GroupsNeeded,
    /// Something must be finished first.
    Blocked(Unfinished),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FsError> for Stop {
    fn from(error: FsError) -> Self {
        Self::Refused(error)
    }
}

/// Refuses with `why` unless `permitted`.
pub(super) fn ensure(permitted: bool, why: FsError) -> Result<(), Stop> {
    if permitted { Ok(()) } else { Err(why.into()) }
}
