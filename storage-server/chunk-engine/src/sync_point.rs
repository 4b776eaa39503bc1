//! Every sync that the engine issues, in one table.
//!
//! A test can switch one row off and show that a loss of power then loses something: a row that never
//! matters is not needed, one that is missing is found.

/// A sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPoint {
    /// The data file, after blocks were written and before the record that names them.
    Data,
    /// The records' log, with each group of records and before anybody is answered.
    Records,
    /// The disk's directory, after the data file and the records' directory were made in it.
    Directory,
}

impl SyncPoint {
    /// All rows.
    pub const ALL: [Self; 3] = [Self::Data, Self::Records, Self::Directory];

    /// What a test calls the row.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "chunk-engine.data",
            Self::Records => "chunk-engine.records",
            Self::Directory => "chunk-engine.directory",
        }
    }
}

/// Which syncs are issued: all, but in tests of what one of them is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Syncs {
    skipped: Option<SyncPoint>,
}

impl Syncs {
    /// All.
    #[must_use]
    pub const fn all() -> Self {
        Self { skipped: None }
    }

    /// All but one: loses data with the power, for tests alone.
    #[must_use]
    pub const fn without(skipped: SyncPoint) -> Self {
        Self { skipped: Some(skipped) }
    }

    /// All but the one of this name, if one of the rows has it.
    #[must_use]
    pub fn without_named(name: Option<&str>) -> Self {
        Self { skipped: SyncPoint::ALL.into_iter().find(|point| Some(point.name()) == name) }
    }

    /// Whether this one is issued.
    #[must_use]
    pub fn issues(self, point: SyncPoint) -> bool {
        self.skipped != Some(point)
    }
}
