//! Where a path leads, asked of no mount of ours: that may hang, and whoever asks it about a file with it.
//!
//! So no path is looked up as a whole: the table is asked at each step of it first, and the way ends at a mount of
//! ours. To read a link asks nobody else than who has it.

use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use crate::{Mount, MountTable};

/// Links on the way of one path at most, as the kernel has it.
const LINKS_MAX: u32 = 40;

/// Where a path leads. Paths here are without links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// To this, in no mount of ours. It need not be there.
    Free(PathBuf),
    /// To a mount of ours.
    Mount(PathBuf),
    /// Into one.
    Below {
        /// Where it is.
        mount: PathBuf,
        /// Where the path leads in it, by links that were not followed there.
        path: PathBuf,
    },
}

impl MountTable {
    /// Follows the links of a path, up to a mount of ours.
    ///
    /// # Errors
    /// The system's, of what is no mount of ours. That nothing is there is none.
    pub fn way(&self, path: &Path) -> io::Result<Way> {
        let mut left = std::path::absolute(path)?;
        let (mut found, mut links) = (PathBuf::new(), 0);
        loop {
            let mut parts = left.components();
            match parts.next() {
                None | Some(Component::Prefix(_)) => return Ok(Way::Free(found)),
                Some(Component::CurDir) => {}
                Some(Component::RootDir) => found = PathBuf::from("/"),
                Some(Component::ParentDir) => {
                    found.pop();
                }
                Some(Component::Normal(name)) => found.push(name),
            }
            let rest = parts.as_path();
            if self.topmost(&found).is_some_and(Mount::is_ours) {
                let is_end = rest.as_os_str().is_empty();
                let path = found.join(rest);
                let below = |mount| Way::Below { mount, path };
                return Ok(if is_end { Way::Mount(found) } else { below(found) });
            }
            left = match std::fs::read_link(&found) {
                Ok(_) if links == LINKS_MAX => return Err(Errno::LOOP.into()),
                Ok(target) => {
                    links += 1;
                    found.pop();
                    target.join(rest)
                }
                // No link, or nothing: who uses the path is told.
                Err(error)
                    if [io::ErrorKind::InvalidInput, io::ErrorKind::NotFound]
                        .contains(&error.kind()) =>
                {
                    rest.to_owned()
                }
                Err(error) => return Err(error),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::escaped;

    #[test]
    fn links_are_followed_up_to_a_mount_of_ours() {
        let top = std::env::temp_dir().join(format!("emberfs-way-{}", std::process::id()));
        create_dir_all(top.join("a/b")).expect("made");
        create_dir_all(top.join("m")).expect("made");
        let top = top.canonicalize().expect("there");
        write(top.join("file"), "").expect("written");
        for (link, target) in [("to", "a/../a"), ("loop", "loop"), ("m/in", "/none")] {
            symlink(target, top.join(link)).expect("made");
        }
        symlink(top.join("m"), top.join("a/there")).expect("made");
        let found = |mount: &str, path: &str| {
            let line = format!("1 0 0:9 / {} rw - fuse.emberfs x rw", escaped(&top.join(mount)));
            let way = MountTable::new(line.as_bytes()).way(&top.join(path));
            way.map_err(|error| error.raw_os_error())
        };
        let m = top.join("m");
        let below = Way::Below { mount: m.clone(), path: m.join("in/../x") };
        let free = |path: &str| Way::Free(top.join(path));
        assert_eq!(found("other", "to/b/../there/none/deep"), Ok(free("m/none/deep")));
        assert_eq!(found("other", "m/in"), Ok(free("/none")));
        assert_eq!(found("m", "m/in/../x"), Ok(below), "nobody is asked");
        assert_eq!(found("m", "to/there/."), Ok(Way::Mount(m)));
        assert_eq!(found("other", "loop"), Err(Some(Errno::LOOP.raw_os_error())));
        assert_eq!(found("other", "file/deep"), Err(Some(Errno::NOTDIR.raw_os_error())));
        std::fs::remove_dir_all(&top).expect("it is ours");
    }
}
