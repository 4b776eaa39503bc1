//! Where a file is: `ember:/path` in the cluster, anything else on this machine. Paths need not be text.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TryMapValueParser, TypedValueParser, ValueParserFactory};

use crate::printable::printable;

/// What begins a path in the cluster.
const SCHEME: &str = "ember:";

/// A path, and on which side it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// In the cluster, from its root.
    Cluster(PathBuf),
    /// On this machine.
    Local(PathBuf),
}

/// A path that must be in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterPath(pub(crate) PathBuf);

impl From<OsString> for Location {
    fn from(path: OsString) -> Self {
        in_cluster(&path).map_or_else(|| Self::Local(path.clone().into()), Self::Cluster)
    }
}

impl TryFrom<OsString> for ClusterPath {
    type Error = String;

    fn try_from(path: OsString) -> Result<Self, String> {
        let expected = || format!("expected `{SCHEME}/path`, for a path in the cluster");
        in_cluster(&path).map(Self).ok_or_else(expected)
    }
}

impl ValueParserFactory for ClusterPath {
    type Parser = TryMapValueParser<OsStringValueParser, fn(OsString) -> Result<Self, String>>;

    fn value_parser() -> Self::Parser {
        OsStringValueParser::new().try_map(Self::try_from)
    }
}

impl ClusterPath {
    /// The last name, of what is to be made, moved or removed by it.
    pub(crate) fn name(&self) -> Result<&OsStr, String> {
        let last = last(&self.0);
        own_name(&self.0).ok_or_else(|| match last.as_bytes() {
            b"" => format!("{self} is the root, which stays as it is"),
            dots => format!("{self} ends in `{}`: say its name", dots.escape_ascii()),
        })
    }

    /// Whether it is written as only a directory is.
    pub(crate) fn ends_in_slash(&self) -> bool {
        self.0.as_os_str().as_bytes().ends_with(b"/")
    }

    /// The same without slashes at its end: of a symbolic link, the link itself.
    pub(crate) fn without_slashes(&self) -> &Path {
        match trimmed(&self.0) {
            b"" => Path::new("/"),
            path => Path::new(OsStr::from_bytes(path)),
        }
    }

    /// As programs read it: nothing is left out but what is no text.
    pub(crate) fn text(&self) -> String {
        format!("{SCHEME}{}", self.0.display())
    }
}

/// The path in the cluster, if it is one. It begins at the root: `ember:data` is `ember:/data`.
fn in_cluster(path: &OsStr) -> Option<PathBuf> {
    let path = path.as_bytes().strip_prefix(SCHEME.as_bytes())?;
    Some(Path::new("/").join(OsStr::from_bytes(path)))
}

/// Without slashes at its end; nothing is left of the root.
fn trimmed(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    &bytes[..end]
}

/// What stands last in it, between slashes or behind one: nothing in the root.
fn last(path: &Path) -> &OsStr {
    let last = trimmed(path).rsplit(|byte| *byte == b'/').next();
    OsStr::from_bytes(last.unwrap_or_default())
}

/// The last name of a path; `None` if that is not its own: the root's, or that of a directory by `.` or `..`.
pub(crate) fn own_name(path: &Path) -> Option<&OsStr> {
    Some(last(path)).filter(|last| !matches!(last.as_bytes(), b"" | b"." | b".."))
}

/// As people read it, who do not want it to move their terminal.
pub(crate) fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(path) => write!(f, "{SCHEME}{}", shown(path)),
            Self::Local(path) => f.write_str(&shown(path)),
        }
    }
}

impl fmt::Display for ClusterPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", shown(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_decides() {
        let at = |text: &str| Location::from(OsString::from(text));
        assert_eq!(at("ember:/a/b"), Location::Cluster("/a/b".into()));
        assert_eq!(at("ember:a"), Location::Cluster("/a".into()));
        assert_eq!(at("a:/b"), Location::Local("a:/b".into()));
        assert_eq!(at("ember:").to_string(), "ember:/");
        assert!(ClusterPath::try_from(OsString::from("/a")).is_err());
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        let path = OsStr::from_bytes(b"ember:/\xff").to_owned();
        let found = ClusterPath::try_from(path).expect("a path in the cluster");
        assert_eq!(found.name().map(OsStr::as_bytes), Ok(&b"\xff"[..]));
    }

    #[test]
    fn a_path_moves_no_terminal_and_is_whole_for_programs() {
        let path = ClusterPath::try_from(OsString::from("ember:/a\n\x1b[J")).expect("a path");
        assert_eq!((&*path.to_string(), &*path.text()), ("ember:/a??[J", "ember:/a\n\x1b[J"));
        assert_eq!(Location::Local("\r".into()).to_string(), "?");
    }

    #[test]
    fn slashes_at_the_end_are_told() {
        let found = |text: &str| {
            let path = ClusterPath::try_from(OsString::from(text)).expect("a path");
            (path.ends_in_slash(), path.without_slashes().to_owned())
        };
        assert_eq!(found("ember:/a/b//"), (true, "/a/b".into()));
        assert_eq!(found("ember:/a"), (false, "/a".into()));
        assert_eq!(found("ember:").1, Path::new("/"));
    }

    #[test]
    fn a_name_is_told_from_a_way_to_it() {
        let of = |path| own_name(Path::new(path)).and_then(OsStr::to_str);
        for (path, name) in [("a", "a"), ("a/b", "b"), ("/a/b//", "b"), ("a/...", "...")] {
            assert_eq!(of(path), Some(name));
        }
        for path in ["", "/", ".", "..", "a/.", "a/./", "a/..", "./"] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn what_has_no_name_is_told_why() {
        let path = |text: &str| ClusterPath::try_from(OsString::from(text)).expect("a path");
        assert_eq!(path("ember:/a/b//").name(), Ok(OsStr::new("b")));
        for (text, why) in
            [("ember:", "root"), ("ember:///", "root"), ("ember:/a/.", "`.`"), ("ember:..", "`..`")]
        {
            let said = path(text).name().expect_err("no name");
            assert!(said.contains(why), "{said}");
        }
    }
}
