//! Files and directories in memory, by number: what the mount in memory has behind it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::time::UNIX_EPOCH;

use fuser::{Errno, FileAttr, FileType, INodeNo};

/// The root's number.
const ROOT: u64 = 1;

/// What a number stands for.
#[derive(Debug)]
enum Node {
    File(Vec<u8>),
    Directory(BTreeMap<OsString, u64>),
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Memory {
    nodes: HashMap<u64, Node>,
    next: u64,
}

impl Default for Memory {
    fn default() -> Self {
        let root = (ROOT, Node::Directory(BTreeMap::new()));
        Self { nodes: HashMap::from([root]), next: ROOT + 1 }
    }
}

impl Memory {
    /// The attributes of a number.
    pub(crate) fn attributes(&self, number: INodeNo) -> Result<FileAttr, Errno> {
        let (size, kind, perm) = match self.nodes.get(&number.0).ok_or(Errno::ENOENT)? {
            Node::File(bytes) => (bytes.len() as u64, FileType::RegularFile, 0o644),
            Node::Directory(_) => (0, FileType::Directory, 0o755),
        };
        Ok(FileAttr {
            ino: number,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    /// What has this name.
    pub(crate) fn find(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let number = self.names(parent)?.get(name).ok_or(Errno::ENOENT)?;
        self.attributes(INodeNo(*number))
    }

    /// The names in a directory of what has a number above `after`, in the order of numbers: whatever is removed
    /// meanwhile, each is listed once.
    pub(crate) fn listed(
        &self,
        directory: INodeNo,
        after: u64,
    ) -> Result<Vec<(&OsString, INodeNo, FileType)>, Errno> {
        let names = self.names(directory)?.iter().filter(|(_, number)| **number > after);
        let mut listed: Vec<_> = names
            .map(|(name, number)| match self.nodes.get(number) {
                Some(Node::Directory(_)) => (name, INodeNo(*number), FileType::Directory),
                _ => (name, INodeNo(*number), FileType::RegularFile),
            })
            .collect();
        listed.sort_unstable_by_key(|(_, number, _)| number.0);
        Ok(listed)
    }

    /// Makes an empty file or directory.
    pub(crate) fn make(
        &mut self,
        parent: INodeNo,
        name: &OsStr,
        kind: FileType,
    ) -> Result<FileAttr, Errno> {
        let number = self.next;
        let names = self.names_mut(parent)?;
        if names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        names.insert(name.to_owned(), number);
        let node = match kind {
            FileType::Directory => Node::Directory(BTreeMap::new()),
            _ => Node::File(Vec::new()),
        };
        self.nodes.insert(number, node);
        self.next += 1;
        self.attributes(INodeNo(number))
    }

    /// Removes a name, and what has it.
    pub(crate) fn remove(&mut self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let number = *self.names(parent)?.get(name).ok_or(Errno::ENOENT)?;
        if matches!(self.nodes.get(&number), Some(Node::Directory(names)) if !names.is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        self.names_mut(parent)?.remove(name);
        self.nodes.remove(&number);
        Ok(())
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, of: INodeNo) -> Result<&[u8], Errno> {
        match self.nodes.get(&of.0) {
            Some(Node::File(bytes)) => Ok(bytes),
            _ => Err(Errno::ENOENT),
        }
    }

    /// The bytes of a file, to be changed.
    pub(crate) fn bytes_mut(&mut self, of: INodeNo) -> Result<&mut Vec<u8>, Errno> {
        match self.nodes.get_mut(&of.0) {
            Some(Node::File(bytes)) => Ok(bytes),
            _ => Err(Errno::ENOENT),
        }
    }

    fn names(&self, directory: INodeNo) -> Result<&BTreeMap<OsString, u64>, Errno> {
        match self.nodes.get(&directory.0) {
            Some(Node::Directory(names)) => Ok(names),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, directory: INodeNo) -> Result<&mut BTreeMap<OsString, u64>, Errno> {
        match self.nodes.get_mut(&directory.0) {
            Some(Node::Directory(names)) => Ok(names),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_found_until_it_is_removed() {
        let (mut memory, root) = (Memory::default(), INodeNo(ROOT));
        let directory = memory.make(root, "d".as_ref(), FileType::Directory).expect("made").ino;
        let file = memory.make(directory, "f".as_ref(), FileType::RegularFile).expect("made").ino;
        memory.bytes_mut(file).expect("a file").extend(b"abc");
        assert_eq!(memory.find(directory, "f".as_ref()).expect("there").size, 3);
        assert_eq!(memory.listed(root, 0).expect("a directory").len(), 1);
        assert!(memory.remove(root, "d".as_ref()).is_err());
        memory.remove(directory, "f".as_ref()).expect("removed");
        memory.remove(root, "d".as_ref()).expect("removed");
        assert!(memory.find(root, "d".as_ref()).is_err() && memory.bytes(file).is_err());
    }
}
