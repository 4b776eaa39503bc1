//! Which clusters a user knows: `clusters.toml` in the configuration directory.
//!
//! ```toml
//! [clusters.training]
//! id = "00112233445566778899aabbccddeeff"
//! meta = ["meta-1:7000", "meta-2:7000", "meta-3:7000"]
//!
//! [clusters.local]
//! id = "fedcba9876543210fedcba9876543210"
//! meta = ["127.0.0.1:10071"]
//! directory = "/data/ember"        # of one that `emberfs up` keeps on this machine
//! ```
//!
//! The directory is `$EMBERFS_CONFIG_DIR`, else `emberfs` below the user's configuration directory. A
//! cluster is named explicitly, or by `$EMBERFS_CLUSTER`, or is the only one in the file; instead of a
//! name either may say `host:port[,host:port]`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberfs_layout::ClusterId;
use emberfs_transport::{Address, AddressError};
use etcetera::{BaseStrategy, choose_base_strategy};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::options::ClusterAddress;

/// The file's name.
const FILE: &str = "clusters.toml";

/// The clusters that a user knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
}

/// What the file can be wrong with.
#[derive(Clone, Debug, Error)]
pub enum DirectoryError {
    /// The user has no home, and no directory was named.
    #[error("no configuration directory: set EMBERFS_CONFIG_DIR or HOME")]
    NoHome,
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The file is not as it should be.
    #[error("{}: {text}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// A name that no cluster has, or could have.
    #[error("no cluster is called `{name}` in {}; known: {known}", path.display())]
    Unknown {
        /// The name.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// The names that are there.
        known: String,
    },
    /// None was named, and there is not exactly one.
    #[error("which cluster? name one, or set EMBERFS_CLUSTER; known in {}: {known}", path.display())]
    Unnamed {
        /// Where was looked.
        path: PathBuf,
        /// The names that are there.
        known: String,
    },
    /// Not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
}

#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    clusters: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    meta: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
}

impl PartialEq for DirectoryError {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for DirectoryError {}

impl Directory {
    /// The user's.
    ///
    /// # Errors
    /// [`DirectoryError::NoHome`].
    pub fn of_user() -> Result<Self, DirectoryError> {
        if let Some(dir) = std::env::var_os("EMBERFS_CONFIG_DIR") {
            return Ok(Self::at(Path::new(&dir)));
        }
        let base = choose_base_strategy().map_err(|_| DirectoryError::NoHome)?;
        Ok(Self::at(&base.config_dir().join("emberfs")))
    }

    /// The one in this directory.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { path: directory.join(FILE) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a cluster can be called so: letters, digits, `-`, `_` and `.`, nothing that could be an address.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    }

    /// All clusters, by name; none if there is no file.
    ///
    /// # Errors
    /// [`DirectoryError`] if the file cannot be read.
    pub fn list(&self) -> Result<BTreeMap<String, ClusterAddress>, DirectoryError> {
        let entries = self.read()?.clusters.into_iter();
        entries.map(|(name, entry)| Ok((name, self.address(entry)?))).collect()
    }

    /// Writes an entry, over one of the same name: whoever reads sees the old file or the new one. `kept_in`: where
    /// `emberfs up` keeps the cluster, if it is one of this machine.
    ///
    /// # Errors
    /// [`DirectoryError`]; [`DirectoryError::Unknown`] for a name that is none.
    pub fn insert(
        &self,
        name: &str,
        cluster: &ClusterAddress,
        kept_in: Option<&Path>,
    ) -> Result<(), DirectoryError> {
        let mut file = self.read()?;
        if !Self::is_name(name) {
            return Err(self.unknown(name, &file));
        }
        let id = cluster.cluster.map(|id| id.to_string());
        let meta = cluster.meta.iter().map(Address::to_string).collect();
        // A path that is no text is not found by name.
        let directory = kept_in.and_then(Path::to_str).map(str::to_owned);
        file.clusters.insert(name.to_owned(), Entry { id, meta, directory });
        self.write(&file)
    }

    /// Where on this machine `emberfs up` keeps the cluster of this name; `None` if it is not one of those.
    ///
    /// # Errors
    /// [`DirectoryError`] if the file cannot be read.
    pub fn kept_in(&self, name: &str) -> Result<Option<PathBuf>, DirectoryError> {
        let entry = self.read()?.clusters.remove(name);
        Ok(entry.and_then(|entry| entry.directory).map(PathBuf::from))
    }

    /// Takes an entry out; whether it was there.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn remove(&self, name: &str) -> Result<bool, DirectoryError> {
        let mut file = self.read()?;
        let was_there = file.clusters.remove(name).is_some();
        if was_there {
            self.write(&file)?;
        }
        Ok(was_there)
    }

    /// The cluster that `named` means: a name or addresses; `None`: by the environment, else the only one.
    ///
    /// # Errors
    /// [`DirectoryError`] says what there is to choose from.
    pub fn find(&self, named: Option<&str>) -> Result<ClusterAddress, DirectoryError> {
        let from_environment = std::env::var("EMBERFS_CLUSTER").ok();
        self.find_by(named.or(from_environment.as_deref()))
    }

    fn find_by(&self, named: Option<&str>) -> Result<ClusterAddress, DirectoryError> {
        if let Some(addresses) = named.filter(|named| named.contains(':')) {
            return Ok(addresses.parse()?);
        }
        let mut file = self.read()?;
        let only = || file.clusters.keys().next().filter(|_| file.clusters.len() == 1).cloned();
        let Some(name) = named.map(str::to_owned).or_else(only) else {
            return Err(DirectoryError::Unnamed { path: self.path.clone(), known: names(&file) });
        };
        let entry = file.clusters.remove(&name).ok_or_else(|| self.unknown(&name, &file))?;
        self.address(entry)
    }

    fn unknown(&self, name: &str, file: &File) -> DirectoryError {
        let (name, path) = (name.to_owned(), self.path.clone());
        DirectoryError::Unknown { name, path, known: names(file) }
    }

    fn address(&self, entry: Entry) -> Result<ClusterAddress, DirectoryError> {
        let malformed = |text: String| DirectoryError::Malformed { path: self.path.clone(), text };
        let id = entry.id.map(|id| id.parse::<ClusterId>()).transpose();
        let cluster = id.map_err(|error| malformed(error.to_string()))?;
        if entry.meta.is_empty() {
            return Err(malformed("a cluster without an address".to_owned()));
        }
        let meta = entry.meta.iter().map(|address| address.parse());
        let meta = meta.collect::<Result<_, AddressError>>();
        Ok(ClusterAddress { cluster, meta: meta.map_err(|error| malformed(error.to_string()))? })
    }

    fn read(&self) -> Result<File, DirectoryError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => toml::from_str(&text).map_err(|error| DirectoryError::Malformed {
                path: self.path.clone(),
                text: error.to_string(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(File::default()),
            Err(error) => Err(self.io(error)),
        }
    }

    fn write(&self, file: &File) -> Result<(), DirectoryError> {
        let text = toml::to_string(file).expect("strings and lists are TOML");
        self.replace(text.as_bytes()).map_err(|error| self.io(error))
    }

    /// Writes a new file beside the old one, then renames it over that.
    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let directory = self.path.parent().expect("the file's name was joined to one");
        fs::create_dir_all(directory)?;
        let new = directory.join(format!(".{FILE}.{}", std::process::id()));
        let mut file = fs::File::create(&new)?;
        file.write_all(bytes).and_then(|()| file.sync_all())?;
        fs::rename(&new, &self.path)?;
        fs::File::open(directory)?.sync_all()
    }

    fn io(&self, error: io::Error) -> DirectoryError {
        DirectoryError::Io { path: self.path.clone(), source: Arc::new(error) }
    }
}

fn names(file: &File) -> String {
    let names: Vec<&str> = file.clusters.keys().map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(id: Option<u128>, meta: &[&str]) -> ClusterAddress {
        let meta = meta.iter().map(|address| address.parse().expect("an address")).collect();
        ClusterAddress { cluster: id.map(ClusterId), meta }
    }

    #[test]
    fn entries_are_found_by_name_and_the_only_one_without() {
        let dir = tempfile::tempdir().expect("a directory");
        let directory = Directory::at(&dir.path().join("not/there/yet"));
        assert!(directory.list().expect("no file is no fault").is_empty());
        assert!(matches!(directory.find_by(None), Err(DirectoryError::Unnamed { .. })));
        let one = cluster(Some(7), &["a:1", "b:2"]);
        directory.insert("one", &one, None).expect("written");
        assert_eq!(directory.find_by(None).expect("the only one"), one);
        let two = cluster(None, &["[::1]:3"]);
        directory.insert("two", &two, Some(Path::new("/data"))).expect("written");
        assert_eq!(directory.find_by(Some("two")).expect("there"), two);
        let kept_in = |name| directory.kept_in(name).expect("readable");
        assert_eq!(["one", "two", "three"].map(kept_in), [None, Some("/data".into()), None]);
        let error = directory.find_by(None).expect_err("which?").to_string();
        assert!(error.ends_with("one, two"), "{error}");
        let error = directory.find_by(Some("three")).expect_err("not there").to_string();
        assert!(error.contains("`three`") && error.ends_with("one, two"), "{error}");
        assert!(directory.remove("one").expect("written"));
        assert!(!directory.remove("one").expect("read"));
        assert_eq!(directory.list().expect("read").into_keys().collect::<Vec<_>>(), ["two"]);
        let left = fs::read_dir(directory.path().parent().expect("a directory"));
        assert_eq!(left.expect("read").count(), 1, "no temporary file");
    }

    #[test]
    fn addresses_need_no_file() {
        let nowhere = Directory::at(Path::new("/proc/nowhere"));
        let found = nowhere.find_by(Some("a:1, [::1]:2")).expect("addresses");
        assert_eq!(found, cluster(None, &["a:1", "[::1]:2"]));
        assert!(matches!(nowhere.find_by(Some("a:b")), Err(DirectoryError::Address(_))));
        let refused = nowhere.insert("a:1", &found, None);
        assert!(matches!(refused, Err(DirectoryError::Unknown { .. })), "{refused:?}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let directory = Directory::at(dir.path());
        for (text, why) in [
            ("[clusters.a]\nmeta = []\n", "without an address"),
            ("[clusters.a]\nmeta = [\"x\"]\n", "no port"),
            ("[clusters.a]\nid = \"7\"\nmeta = [\"x:1\"]\n", "32 hexadecimal digits"),
            ("[clusters.a]\nmeat = []\n", "meat"),
        ] {
            fs::write(directory.path(), text).expect("written");
            let error = directory.find_by(Some("a")).expect_err("malformed").to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
