//! Where disks are: in a scratch directory on the disk that holds the build, or in memory.
//!
//! The program `sweeper` of the tests waits beside until this one ends, however it does; then it ends all that was
//! started about the directory, unmounts what is mounted in it, and removes it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::rows::RAM;

/// Room in memory: three replicas of what is read and written, three servers' copies of the limit, and the records.
const RAM_SIZE: &str = "size=12g";
/// The variable by which the sweeper knows what was started.
const VARIABLE: &str = "EMBERFS_CONFIG_DIR";

/// On what the disks of both sides are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    /// The disk that holds the build.
    Disk,
    /// A tmpfs.
    Ram,
}

impl Medium {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Ram => "ram",
        }
    }

    /// What a row is called here.
    pub(super) fn id_of(self, id: &str) -> String {
        match self {
            Self::Disk => id.to_owned(),
            Self::Ram => format!("{id}{RAM}"),
        }
    }
}

/// The scratch directory.
pub(super) struct Scratch {
    programs: PathBuf,
    path: PathBuf,
    sweeper: Child,
}

impl Scratch {
    /// Makes it beside the programs.
    pub(super) fn make(programs: &Path) -> Result<Self> {
        let path = programs.join(format!("bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        let mut sweeper = Command::new(programs.join("sweeper"));
        // In a group of its own: what interrupts this program does not reach it.
        sweeper.arg(&path).stdin(Stdio::piped()).process_group(0);
        let sweeper = sweeper.spawn().context("cannot start sweeper; is all built?")?;
        Ok(Self { programs: programs.to_owned(), path, sweeper })
    }

    /// A directory on this medium.
    pub(super) fn place(&self, medium: Medium) -> Result<PathBuf> {
        let place = self.path.join(medium.word());
        std::fs::create_dir_all(&place)?;
        if medium == Medium::Ram {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", RAM_SIZE, "emberfs-bench"]).arg(&place);
            let mounted = mount.status().context("mount")?.success();
            ensure!(mounted, "cannot mount a tmpfs at {}: `{RAM}` rows take root", place.display());
        }
        Ok(place)
    }

    /// One of our programs, by whose variables it is known whose it is.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.env(VARIABLE, self.path.join("config")).env_remove("EMBERFS_CLUSTER");
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Closes the pipe first, which has it sweep.
        match self.sweeper.wait() {
            Ok(status) if status.success() => {}
            ended => eprintln!("{} is left: {ended:?}", self.path.display()),
        }
    }
}
