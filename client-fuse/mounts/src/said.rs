//! What a mount's daemon says to the commands that look for it, at its [`Socket`](crate::Socket).
//!
//! ```text
//!   ◄ CLUSTER PATH                                     one line: the path as the table has it
//!   ◄ mounted | writing WHAT | done | lost WORDS       one line now, and one at each change
//! ```
//! WHAT is described at [`Unwritten`]; without it, no file has anything left, and none ever will. `done` and `lost` are
//! the last; the connection stands until the process is gone. Whoever connected before them hears them, and whoever
//! comes later is refused, as by a process that is gone. Only root and this process's user are answered: the words name
//! files.

use std::fmt;

use crate::Unwritten;

/// What a daemon says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It serves.
    Mounted,
    /// It serves no more, and writes what is left. Where nothing is, all files are closed for good: a daemon that dies
    /// from then on loses nothing, and takes its leave of the servers meanwhile.
    Writing(Unwritten),
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
            "writing" => Unwritten::of_line(words).map(Self::Writing),
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
            Self::Mounted => ("mounted", String::new()),
            Self::Writing(left) => ("writing", left.line()),
            Self::Done => ("done", String::new()),
            Self::Lost(words) => ("lost", words.clone()),
        };
        let line = format!("{word} {words}").replace('\n', " ");
        f.write_str(line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwritten() -> Unwritten {
        Unwritten {
            files: 1,
            bytes: 7,
            why: "chain-1\nand more".to_owned(),
            ..Unwritten::default()
        }
    }

    #[test]
    fn each_word_is_one_line() {
        let words = "d/f [7]\nd/g".to_owned();
        let all = [Said::Mounted, Said::Writing(unwritten()), Said::Done, Said::Lost(words)];
        let writing = "writing files=1 bytes=7 why=chain-1 and more";
        assert_eq!(
            all.map(|said| said.to_string()),
            ["mounted", writing, "done", "lost d/f [7] d/g"]
        );
        assert_eq!(Said::Writing(Unwritten::default()).to_string(), "writing");
    }

    #[test]
    fn what_is_said_is_heard() {
        let all = [
            Said::Mounted,
            Said::Writing(Unwritten::default()),
            Said::Writing(Unwritten { why: "chain-1".to_owned(), ..unwritten() }),
            Said::Done,
            Said::Lost("d/f [7]".to_owned()),
        ];
        for said in all {
            assert_eq!(Said::of_line(&said.to_string()), Some(said));
        }
        assert_eq!(Said::of_line("unmounted"), None);
    }
}
