//! Where a file is: `ember:/path` in the cluster, anything else on this machine.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

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

impl FromStr for Location {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix(SCHEME) {
            Some(path) => Self::Cluster(rooted(path)),
            None => Self::Local(text.into()),
        })
    }
}

impl FromStr for ClusterPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix(SCHEME).map(rooted);
        path.map(Self).ok_or_else(|| format!("expected `{SCHEME}/path`, for a path in the cluster"))
    }
}

/// Paths in the cluster begin at its root: `ember:data` is `ember:/data`.
fn rooted(path: &str) -> PathBuf {
    Path::new("/").join(path)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(path) => write!(f, "{SCHEME}{}", path.display()),
            Self::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for ClusterPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_decides() {
        let at = |text: &str| text.parse::<Location>().expect("always one of both");
        assert_eq!(at("ember:/a/b"), Location::Cluster("/a/b".into()));
        assert_eq!(at("ember:a"), Location::Cluster("/a".into()));
        assert_eq!(at("a:/b"), Location::Local("a:/b".into()));
        assert_eq!(at("ember:").to_string(), "ember:/");
        assert!("/a".parse::<ClusterPath>().is_err());
    }
}
