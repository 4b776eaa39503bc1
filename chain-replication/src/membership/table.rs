//! The transition table of a chain's members, as data.
//!
//! A member's next state follows from the one it has, from how it stands and from what becomes of the
//! chain. Exactly one row fits each combination that there is: a test holds it.

use emberfs_wire::cluster::PublicState;
use emberfs_wire::cluster::PublicState::{LastServing, Offline, Serving, Syncing, Waiting};

use Outlook::{Doubtful, Lost, Served};
use Standing::{Away, Behind, Complete, Full, Here, Silent, Turn};

/// How a member stands, as its leader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is there. Of a serving member: and has all that it should have.
    Here,
    /// It is there, and its turn has come: to sync, or as one of the last to serve to serve again.
    Turn,
    /// It syncs, and reports under the chain's present version that it has everything.
    Complete,
    /// It is there, but not with what it should have: its server started anew, or says that it lacks
    /// something. Only of members that serve or sync: the others are owed nothing yet.
    Behind,
    /// It syncs and has no room for what it missed, and it is the turn of one that may have it.
    Full,
    /// Nothing was heard of it for a time, but it may still hold a lease.
    Silent,
    /// It surely does not serve: its lease is over, its process gone, or its disk cannot be used.
    Away,
}

/// What becomes of the chain in this step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// A member serves that is known to be there.
    Served,
    /// No serving member is known to be there, but one may be: wait until more is known.
    Doubtful,
    /// No member serves.
    Lost,
}

/// One transition.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The states that it is from.
    pub was: &'static [PublicState],
    /// How the member stands.
    pub stands: &'static [Standing],
    /// What becomes of the chain.
    pub outlook: &'static [Outlook],
    /// The state that it leads to.
    pub becomes: PublicState,
}

const ANY: &[Outlook] = &[Served, Doubtful, Lost];

const fn row(
    was: &'static [PublicState],
    stands: &'static [Standing],
    outlook: &'static [Outlook],
    becomes: PublicState,
) -> Row {
    Row { was, stands, outlook, becomes }
}

/// All transitions.
pub const ROWS: &[Row] = &[
    // A serving member stays while it may be serving, and goes only if another serves for certain.
    row(&[Serving], &[Here, Silent], ANY, Serving),
    row(&[Serving], &[Behind], &[Served], Waiting),
    row(&[Serving], &[Away], &[Served], Offline),
    row(&[Serving], &[Behind, Away], &[Doubtful], Serving),
    row(&[Serving], &[Behind, Away], &[Lost], LastServing),
    // Those that served last wait for their turn, and stand back when another has it.
    row(&[LastServing], &[Turn], &[Served], Serving),
    row(&[LastServing], &[Here], &[Served], Waiting),
    row(&[LastServing], &[Silent, Away], &[Served], Offline),
    row(&[LastServing], &[Here, Silent, Away], &[Doubtful, Lost], LastServing),
    // A syncing member needs a serving one in front of it.
    row(&[Syncing], &[Complete], &[Served], Serving),
    row(&[Syncing], &[Complete], &[Doubtful], Syncing),
    row(&[Syncing], &[Here, Silent], &[Served, Doubtful], Syncing),
    row(&[Syncing], &[Complete, Here, Silent], &[Lost], Waiting),
    row(&[Syncing], &[Behind], ANY, Waiting),
    row(&[Syncing], &[Full], &[Served], Waiting),
    row(&[Syncing], &[Away], ANY, Offline),
    // All others: one at a time.
    row(&[Waiting, Offline], &[Turn], &[Served], Syncing),
    row(&[Waiting, Offline], &[Here], ANY, Waiting),
    row(&[Waiting], &[Silent], ANY, Waiting),
    row(&[Offline], &[Silent], ANY, Offline),
    row(&[Waiting, Offline], &[Away], ANY, Offline),
];

/// Which row fits.
pub(super) fn row_of(was: PublicState, stands: Standing, outlook: Outlook) -> Option<usize> {
    ROWS.iter().position(|row| {
        row.was.contains(&was) && row.stands.contains(&stands) && row.outlook.contains(&outlook)
    })
}

/// What a member becomes.
pub(super) fn becomes(was: PublicState, stands: Standing, outlook: Outlook) -> PublicState {
    let row = row_of(was, stands, outlook).expect("the table has a row for all that there is");
    ROWS[row].becomes
}
