//! Where paths lead in the model.

use emberfs_wire::FsError::{self, NotADirectory, NotFound, SymlinkLoop};
use emberfs_wire::meta::Caller;

use super::Model;
use super::node::{Id, Kind, fail};

impl Model {
    /// Where a path leads from `from`.
    pub(super) fn resolve(
        &self,
        who: &Caller,
        from: Id,
        path: &str,
        follow: bool,
        hops: &mut u32,
    ) -> Result<Id, FsError> {
        let mut at = if path.starts_with('/') { 0 } else { from };
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        let as_directory = path.ends_with('/') || path.ends_with("/.") || path == ".";
        for (i, part) in parts.iter().enumerate() {
            self.pass(who, at)?;
            if *part == ".." {
                at = self.parent(at);
                continue;
            }
            let child = *self.entries(at).get(*part).ok_or(NotFound)?;
            let last = i + 1 == parts.len();
            at = match &self.nodes[child].kind {
                Kind::Link(target) if !last || follow || as_directory => {
                    *hops += 1;
                    if *hops > 40 {
                        return fail(SymlinkLoop);
                    }
                    self.resolve(who, at, target, true, hops)?
                }
                _ => child,
            };
        }
        if as_directory && !self.nodes[at].is_directory() { fail(NotADirectory) } else { Ok(at) }
    }

    pub(super) fn pass(&self, who: &Caller, id: Id) -> Result<(), FsError> {
        if !self.nodes[id].is_directory() {
            return fail(NotADirectory);
        }
        self.nodes[id].need(who, 1)
    }

    pub(in crate::namespace::tests) fn find(
        &self,
        who: &Caller,
        path: &str,
        follow: bool,
    ) -> Result<Id, FsError> {
        self.resolve(who, 0, path, follow, &mut 0)
    }

    pub(super) fn directory(&self, who: &Caller, path: &str) -> Result<Id, FsError> {
        let id = self.find(who, path, true)?;
        self.pass(who, id)?;
        Ok(id)
    }

    /// Whether a directory is `above` or somewhere in it.
    pub(super) fn inside(&self, mut id: Id, above: Id) -> bool {
        while id != above && id != 0 {
            id = self.parent(id);
        }
        id == above
    }
}
