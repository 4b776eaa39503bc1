//! Every sync that keeps a data directory's identity, in one table; and the switch that leaves one sync out.
//!
//! Each part of a server has such a table of its own. A test switches one row of any of them off by its name and
//! shows that a loss of power then loses something: a row that never matters is not needed, one that is missing
//! is found.

/// The variable that names the row to leave out. For tests alone: without it data is lost with the power.
pub const VARIABLE: &str = "EMBERFS_TEST_SKIP_SYNC";

/// The row that [`VARIABLE`] names, which is said in the log.
#[must_use]
pub fn skipped() -> Option<String> {
    let name = named()?;
    tracing::warn!(sync = name, "a sync is switched off: data will be lost");
    Some(name)
}

fn named() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())
}

/// A sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPoint {
    /// The new identity file, before it takes its name.
    File,
    /// The directory, after the file has taken its name; and those above that were made for it.
    Directory,
}

impl SyncPoint {
    /// All rows.
    pub const ALL: [Self; 2] = [Self::File, Self::Directory];

    /// What a test calls the row.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "identity.file",
            Self::Directory => "identity.directory",
        }
    }

    /// Whether this one is issued.
    pub(crate) fn is_issued(self) -> bool {
        named().is_none_or(|name| name != self.name())
    }
}
