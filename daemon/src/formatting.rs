//! Formatting a directory, unless it is already what it should be.

use std::path::Path;

use crate::identity::{self, Held, Identity, IdentityError};

/// The identity of `directory`: that which is there if it `fits`, else the directory is made `new`. Either way
/// it is durable when this returns: who made it before may have been killed before its last sync.
///
/// # Errors
/// [`IdentityError`], as of [`Held::format`], if it is something else's.
pub fn ensure(
    directory: &Path,
    fits: impl Fn(&Identity) -> bool,
    new: Identity,
) -> Result<Identity, IdentityError> {
    match identity::read(directory) {
        Ok(found) if fits(&found) => identity::sync_directory(directory).map(|()| found),
        _ => Held::format(directory, new).map(|held| held.identity()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DirectoryKind;
    use emberfs_layout::{ClusterId, NodeId};

    #[test]
    fn what_fits_stays_and_what_is_something_else_s_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let new = Identity {
            kind: DirectoryKind::Meta,
            cluster: ClusterId(7),
            node: Some(NodeId(1)),
            disk: None,
        };
        let path = directory.path().join("meta");
        let made = ensure(&path, |_| true, new).expect("an empty directory");
        assert_eq!(made, new);
        let other = Identity { cluster: ClusterId(8), ..new };
        assert_eq!(ensure(&path, |found| found.node == new.node, other).expect("fits"), new);
        let refused = ensure(&path, |found| found.cluster == other.cluster, other);
        assert!(matches!(refused, Err(IdentityError::Formatted { .. })), "{refused:?}");
        assert_eq!(identity::read(&path).expect("as it was"), new);
    }
}
