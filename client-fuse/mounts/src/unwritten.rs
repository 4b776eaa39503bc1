//! What a mount's daemon still has to write, when it serves no more.
//!
//! As it says it, in one line behind `writing` (`said`), and as people read it:
//!
//! ```text
//!   files=3 bytes=100000 deadline=5 full=4096 why=chain-1; chain-2
//!   3 files, 100000 bytes: chain-1; chain-2
//! ```
//! `why` goes to the end of the line. Only `files` must be there; what nobody knows is skipped.

use std::fmt;
use std::time::Duration;

use crate::counted;

/// How much, and what becomes of it. Nothing is left if there are no files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unwritten {
    /// Files of which the servers have not heard all (a count).
    pub files: u64,
    /// What only the daemon has of them, in bytes.
    pub bytes: u64,
    /// So many of these bytes were refused, as the cluster has no space.
    pub full: u64,
    /// For how long nothing need get on before the daemon gives it up; `None`: it never does.
    pub deadline: Option<Duration>,
    /// What they wait for; empty where that is not known.
    pub why: String,
}

impl Unwritten {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.files == 0
    }

    /// What the daemon says of it, if anything is left.
    pub(crate) fn line(&self) -> String {
        let Self { files, bytes, full, deadline, why } = self;
        if self.is_nothing() {
            return String::new();
        }
        let mut line = format!("files={files} bytes={bytes}");
        if let Some(deadline) = deadline {
            line += &format!(" deadline={}", deadline.as_secs_f64());
        }
        if *full > 0 {
            line += &format!(" full={full}");
        }
        if !why.is_empty() {
            line += &format!(" why={why}");
        }
        line
    }

    /// Of what a daemon said, which is nothing where nothing is left; `None` if that makes no sense.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let (mut left, mut rest) = (Self::default(), line);
        while !rest.is_empty() {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            match word.split_once('=') {
                Some(("files", count)) => left.files = count.parse().ok()?,
                Some(("bytes", count)) => left.bytes = count.parse().ok()?,
                Some(("full", count)) => left.full = count.parse().ok()?,
                Some(("deadline", seconds)) => {
                    left.deadline = Some(Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?);
                }
                Some(("why", _)) => {
                    rest.split_at("why=".len()).1.clone_into(&mut left.why);
                    break;
                }
                _ => {}
            }
            rest = after;
        }
        (line.is_empty() || !left.is_nothing()).then_some(left)
    }

    /// When the daemon gives it up, and what is lost then; `None` if it does not, or has no bytes to lose.
    #[must_use]
    pub fn end(&self) -> Option<String> {
        let seconds = self.deadline.filter(|_| self.bytes > 0)?.as_secs_f32();
        let lose = if self.files == 1 { "loses" } else { "lose" };
        Some(format!(
            "gives up once nothing gets on for {seconds} s (-o deadline): then {} {lose} what is unwritten",
            counted(self.files, "file")
        ))
    }

    /// What giving it up does to its files.
    #[must_use]
    pub fn loss(&self) -> String {
        let whose = if self.files == 1 { "this file" } else { "these files" };
        format!("loses {} of {whose}", bytes_in_words(self.bytes))
    }

    /// Whether this says nothing worth another line after `before`: the numbers are the same, and reasons change all
    /// the time.
    #[must_use]
    pub fn is_as(&self, before: &Self) -> bool {
        let numbers = |left: &Self| (left.files, left.bytes, left.full > 0, left.deadline);
        numbers(self) == numbers(before) && (self.why.is_empty() || !before.why.is_empty())
    }
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nothing() {
            return Ok(());
        }
        write!(f, "{}, {}", counted(self.files, "file"), bytes_in_words(self.bytes))?;
        if self.why.is_empty() { Ok(()) } else { write!(f, ": {}", self.why) }
    }
}

/// So many bytes of files: `no bytes`, `1 byte`, `7 bytes`.
#[must_use]
pub fn bytes_in_words(bytes: u64) -> String {
    counted(bytes, "byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Unwritten {
        let deadline = Some(Duration::from_millis(1500));
        Unwritten { files: 3, bytes: 100, full: 7, deadline, why: "chain-1; chain 2=full".into() }
    }

    #[test]
    fn what_is_said_is_understood() {
        let line = "files=3 bytes=100 deadline=1.5 full=7 why=chain-1; chain 2=full";
        assert_eq!(all().line(), line);
        let length = Unwritten { files: 1, ..Unwritten::default() };
        for left in [all(), length, Unwritten::default()] {
            assert_eq!(Unwritten::of_line(&left.line()), Some(left));
        }
        let later = Unwritten::of_line("new=1 files=2 newer bytes=1 why=");
        assert_eq!(later.map(|left| (left.files, left.bytes)), Some((2, 1)));
        for wrong in ["1 file, 7 bytes", "files=0 bytes=7", "files=-1", "files=1 deadline=-1"] {
            assert_eq!(Unwritten::of_line(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_end_is_told_where_there_is_one() {
        assert_eq!(all().to_string(), "3 files, 100 bytes: chain-1; chain 2=full");
        let end = "gives up once nothing gets on for 1.5 s (-o deadline): then 3 files lose what is unwritten";
        assert_eq!(all().end().as_deref(), Some(end));
        let one = Unwritten { files: 1, ..all() }.end().expect("it has bytes");
        assert!(one.ends_with("then 1 file loses what is unwritten"), "{one}");
        assert_eq!(Unwritten { deadline: None, ..all() }.end(), None, "it waits");
        assert_eq!(Unwritten { bytes: 0, ..all() }.end(), None, "only its length is not reported");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(all().loss(), "loses 100 bytes of these files");
        let one = Unwritten { files: 1, bytes: 1, why: String::new(), ..all() };
        assert_eq!(one.loss(), "loses 1 byte of this file");
        assert_eq!(one.to_string(), "1 file, 1 byte");
        let length = Unwritten { files: 1, ..Unwritten::default() };
        assert_eq!(length.to_string(), "1 file, no bytes");
    }

    #[test]
    fn other_reasons_alone_are_nothing_new() {
        assert!(Unwritten { why: "chain-9".into(), ..all() }.is_as(&all()));
        assert!(Unwritten { why: String::new(), full: 9, ..all() }.is_as(&all()));
        assert!(!Unwritten { bytes: 99, ..all() }.is_as(&all()));
        assert!(!Unwritten { full: 0, ..all() }.is_as(&all()), "there is room again");
        let unknown = Unwritten { why: String::new(), ..all() };
        assert!(!all().is_as(&unknown), "now it is known");
    }
}
