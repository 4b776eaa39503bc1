//! Names and paths: any bytes, but within Linux's limits; what decodes is valid.

use std::fmt;

use emberfs_layout::InodeId;
use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::FsError;
use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};

/// A name in a directory: 1 to 255 bytes, neither `/` nor zero among them, not `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

/// Names with `/` between them, walked from a known inode: at most 4,096 bytes, none of them zero. An
/// empty one is the inode itself; `.`, `..`, repeated and leading slashes are the walk's affair.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<u8>);

/// What a symbolic link points to: 1 to 4,095 bytes, none of them zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymlinkTarget(Vec<u8>);

/// Where an operation applies.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Place {
    /// An inode that the client knows.
    #[n(0)]
    pub start: InodeId,
    /// The way from there. Symbolic links on it are followed; whether the last one is, the operation
    /// says.
    #[n(1)]
    pub path: Path,
}

/// Bytes that are no name, path or target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing, where something is needed.
    #[error("an empty name")]
    Empty,
    /// Longer than it may be.
    #[error("{len} bytes are more than the {max} of the longest {what}")]
    TooLong {
        /// What it should have been.
        what: &'static str,
        /// How long it is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// A byte that may not be in it, or `.` or `..` as a name.
    #[error("not a name: it has a slash or a zero byte, or is `.` or `..`")]
    Forbidden,
}

impl From<NameError> for FsError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Empty => Self::NotFound,
            NameError::TooLong { .. } => Self::NameTooLong,
            NameError::Forbidden => Self::InvalidArgument,
        }
    }
}

fn within(what: &'static str, bytes: &[u8], max: usize) -> Result<(), NameError> {
    let len = bytes.len();
    if len > max { Err(NameError::TooLong { what, len, max }) } else { Ok(()) }
}

impl Name {
    /// The name of these bytes.
    ///
    /// # Errors
    /// [`NameError`] if they are none.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, NameError> {
        let bytes = bytes.into();
        within("name", &bytes, NAME_BYTES_MAX)?;
        match bytes.as_slice() {
            [] => Err(NameError::Empty),
            b"." | b".." => Err(NameError::Forbidden),
            other if other.iter().any(|b| matches!(b, 0 | b'/')) => Err(NameError::Forbidden),
            _ => Ok(Self(bytes)),
        }
    }
}

impl Path {
    /// The path of these bytes.
    ///
    /// # Errors
    /// [`NameError`] if they are none.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, NameError> {
        let bytes = bytes.into();
        within("path", &bytes, PATH_BYTES_MAX)?;
        if bytes.contains(&0) { Err(NameError::Forbidden) } else { Ok(Self(bytes)) }
    }

    /// The parts between the slashes, without empty ones and `.`.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        self.0.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".")
    }
}

impl SymlinkTarget {
    /// The target of these bytes.
    ///
    /// # Errors
    /// [`NameError`] if they are none.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, NameError> {
        let bytes = bytes.into();
        within("symbolic link", &bytes, PATH_BYTES_MAX - 1)?;
        match bytes.as_slice() {
            [] => Err(NameError::Empty),
            other if other.contains(&0) => Err(NameError::Forbidden),
            _ => Ok(Self(bytes)),
        }
    }
}

impl Place {
    /// The inode itself.
    #[must_use]
    pub fn inode(start: InodeId) -> Self {
        Self { start, path: Path::default() }
    }

    /// The entry `name` of the directory `start`.
    #[must_use]
    pub fn entry(start: InodeId, name: &Name) -> Self {
        Self { start, path: Path(name.0.clone()) }
    }
}

/// What all three have: their bytes, words for people, a codec that checks.
macro_rules! checked_bytes {
    ($($name:ident),*) => {$(
        impl $name {
            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.escape_ascii())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{self}`")
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let at = d.position();
                Self::new(d.bytes()?).map_err(|error| decode::Error::custom(error).at(at))
            }
        }
    )*};
}

checked_bytes!(Name, Path, SymlinkTarget);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_linux_s_rules() {
        assert!(Name::new(vec![0xff; 255]).is_ok(), "any bytes");
        let long = Name::new(vec![b'a'; 256]).expect_err("too long");
        assert_eq!(FsError::from(long), FsError::NameTooLong);
        assert_eq!(Name::new("").expect_err("empty"), NameError::Empty);
        for bad in [&b"."[..], b"..", b"a/b", b"a\0b"] {
            assert_eq!(Name::new(bad).expect_err("no name"), NameError::Forbidden);
        }
        assert!(Path::new(vec![b'/'; 4096]).is_ok() && Path::new(vec![b'/'; 4097]).is_err());
        assert!(SymlinkTarget::new("").is_err() && SymlinkTarget::new("../x").is_ok());
    }

    #[test]
    fn a_path_is_walked_part_by_part() {
        let path = Path::new("/a//./b/../c/").expect("a path");
        assert_eq!(path.parts().collect::<Vec<_>>(), [&b"a"[..], b"b", b"..", b"c"]);
        assert_eq!(Path::default().parts().count(), 0);
    }

    #[test]
    fn what_is_no_name_does_not_decode() {
        let bytes = minicbor::to_vec(minicbor::bytes::ByteVec::from(b"a/b".to_vec()));
        let bytes = bytes.expect("memory never fails");
        assert!(crate::decode::<Name>(&bytes).is_err());
        assert!(crate::decode::<Path>(&bytes).is_ok());
    }
}
