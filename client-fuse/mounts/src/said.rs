//! What a mount's daemon says to the commands that look for it, and where.
//!
//! It listens at a socket without a file, in the abstract name space of its network: that goes with the process, and
//! never lies. The name says the mount's device, as [`MountTable`](crate::MountTable) has it, and the process. Anybody
//! may have taken it: then something that nobody could guess stands behind it. So a name is found by how it begins,
//! and who listens there is asked of the kernel.
//!
//! ```text
//!   @emberfs-mount/0:57/4711, or @emberfs-mount/0:57/4711/8f3e0c6b52a97d14
//!     ◄ CLUSTER PATH                                     one line: the path as the table has it
//!     ◄ mounted | writing WORDS | done | lost WORDS      one line now, and one at each change
//! ```
//! Without words, `writing` means that no file has anything left. `done` and `lost` are the last; the connection
//! stands until the process is gone. Whoever connected before them hears them, and whoever comes later is refused,
//! as by a process that is gone. Only root and this process's user are answered: the words name files.

use std::fmt;

/// How the names of the sockets begin, behind the byte 0 of that name space.
pub const SOCKETS: &str = "emberfs-mount/";

/// The name at which the daemon of a device's mount listens, behind the byte 0.
#[must_use]
pub fn socket(device: &str, process: u32) -> String {
    format!("{SOCKETS}{device}/{process}")
}

/// What a daemon says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It serves.
    Mounted,
    /// It serves no more, and writes what is left; without words, takes its leave of the servers.
    Writing(String),
    /// All is written.
    Done,
    /// It ends, and something is lost.
    Lost(String),
}

impl Said {
    /// What a line says, if it says anything.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        let (word, words) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "mounted" => Some(Self::Mounted),
            "writing" => Some(Self::Writing(words.to_owned())),
            "done" => Some(Self::Done),
            "lost" => Some(Self::Lost(words.to_owned())),
            _ => None,
        }
    }

    /// Whether nothing is said after it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done | Self::Lost(_))
    }
}

/// As one line, without its end.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, words) = match self {
            Self::Mounted => ("mounted", ""),
            Self::Writing(words) => ("writing", words.as_str()),
            Self::Done => ("done", ""),
            Self::Lost(words) => ("lost", words.as_str()),
        };
        let line = format!("{word} {words}").replace('\n', " ");
        f.write_str(line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_one_line() {
        let words = || "1 file\n2 bytes".to_owned();
        let all = [Said::Mounted, Said::Writing(words()), Said::Done, Said::Lost(words())];
        let lines = ["mounted", "writing 1 file 2 bytes", "done", "lost 1 file 2 bytes"];
        assert_eq!(all.map(|said| said.to_string()), lines);
        assert_eq!(Said::Writing(String::new()).to_string(), "writing");
    }

    #[test]
    fn what_is_said_is_heard() {
        let all = [
            Said::Mounted,
            Said::Writing(String::new()),
            Said::Writing("1 file, 7 bytes".to_owned()),
            Said::Done,
            Said::Lost("d/f [7]".to_owned()),
        ];
        for said in all {
            assert_eq!(Said::of_line(&said.to_string()), Some(said));
        }
        assert_eq!(Said::of_line("unmounted"), None);
        assert_eq!(socket("0:57", 7), "emberfs-mount/0:57/7");
    }
}
