//! Where the cluster that `up` and `down` are about is kept on this machine.
//!
//! | said | kept |
//! | --- | --- |
//! | `--dir DIR` | there |
//! | `--cluster`, `$EMBERFS_CLUSTER` | where clusters.toml says |
//! | nothing | `down`: the only one in clusters.toml, or where none is known: below the user's data directory |
//! | nothing | `up`: there, if one is, else the only one in clusters.toml; a new one is made there |
//!
//! Of what is below the user's data directory nothing is known yet where `up` was cut short.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use emberfs_client::{ClusterAddress, Directory, DirectoryError};
use etcetera::{BaseStrategy, choose_base_strategy};

use super::plan::Plan;
use crate::args::Named;
use crate::exit::Usage;

/// What a cluster is called where nothing else is said.
pub(crate) const NAME: &str = "local";

/// What the user said about which cluster is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// `--dir`.
    pub(crate) dir: Option<&'a Path>,
    /// A name or addresses.
    pub(crate) cluster: Option<&'a str>,
    /// Who named it.
    pub(crate) named: Named,
}

/// Where clusters of this machine are kept.
#[derive(Debug)]
pub(crate) struct Places {
    known: Directory,
    /// Where one is kept of which nothing is said; `None` if the user has no home.
    default: Option<PathBuf>,
}

impl Places {
    /// Those of the user.
    pub(crate) fn of_user() -> Result<Self> {
        Ok(Self { known: Directory::of_user()?, default: default() })
    }

    /// What `up` starts, which is called `name` if that is said and it is new.
    pub(crate) fn of_up(&self, asked: Asked<'_>, named: Option<&str>) -> Result<PathBuf> {
        let name = named.unwrap_or(NAME);
        if let Some(dir) = asked.dir {
            let found = Plan::load(dir)?.map_or_else(|| name.to_owned(), |plan| plan.name);
            return agreed(asked, dir, &found);
        }
        let Some(cluster) = asked.cluster else {
            return self.only(named)?.map_or_else(|| self.default(), Ok);
        };
        match self.known.find(Some(cluster)) {
            Err(DirectoryError::Unknown { .. }) if cluster == name => self.default(),
            address => self.named(cluster, &address?),
        }
    }

    /// What `down` stops.
    pub(crate) fn of_down(&self, asked: Asked<'_>) -> Result<PathBuf> {
        if let Some(dir) = asked.dir {
            let plan = Plan::load(dir)?;
            return match plan {
                Some(plan) => agreed(asked, dir, &plan.name),
                None => Ok(dir.to_owned()),
            };
        }
        let names = || self.known.list().map(|known| known.into_keys().collect::<Vec<_>>());
        match (asked.cluster, names()?.as_slice()) {
            (Some(cluster), _) => self.named(cluster, &self.known.find(Some(cluster))?),
            (None, []) => self.default(),
            (None, [only]) => self.named(only, &self.known.find(Some(only))?),
            (None, several) => {
                let (file, known) = (self.known.path().display(), several.join(", "));
                bail!(
                    "which cluster? Say --cluster NAME, or --dir DIR where it is kept; known in {file}: {known}"
                )
            }
        }
    }

    /// Where the only cluster is kept that is known, if nothing speaks for another: none is where a new one would be,
    /// and it is not to have another name.
    fn only(&self, named: Option<&str>) -> Result<Option<PathBuf>> {
        let known: Vec<String> = self.known.list()?.into_keys().collect();
        let is_there = |at: &PathBuf| Ok::<_, Error>(Plan::load(at)?.is_some());
        match &known[..] {
            [only] if named.is_none_or(|name| name == only) => {
                if self.default.as_ref().map_or(Ok(false), is_there)? {
                    return Ok(None);
                }
                let Some(kept) = self.known.kept_in(only)? else { return Ok(None) };
                Ok(is_there(&kept)?.then_some(kept))
            }
            _ => Ok(None),
        }
    }

    fn default(&self) -> Result<PathBuf> {
        self.default.clone().context("no data directory: say --dir, or set HOME")
    }

    /// Where a cluster is kept that was named, by its name or its addresses.
    fn named(&self, cluster: &str, address: &ClusterAddress) -> Result<PathBuf> {
        let mut known = self.known.list()?.into_iter();
        let same = |(name, at): &(String, ClusterAddress)| {
            let is_one = || at.meta.iter().any(|member| address.meta.contains(member));
            name == cluster || cluster.contains(':') && is_one()
        };
        if let Some((name, _)) = known.find(same)
            && let Some(directory) = self.known.kept_in(&name)?
        {
            return Ok(directory);
        }
        // The file may say nothing about directories.
        if let Some(default) = &self.default
            && Plan::load(default)?.is_some_and(|plan| plan.is_at(address))
        {
            return Ok(default.clone());
        }
        bail!(
            "as far as {} says, `{cluster}` was not made by `emberfs up` on this machine: if it was, say by \
             --dir where it is kept; a cluster of other machines is stopped and started there",
            self.known.path().display()
        )
    }

    /// Whether a new cluster in `directory` may have this name: nothing that is known is to be forgotten.
    pub(crate) fn check_name(&self, name: &str, directory: &Path) -> Result<()> {
        if !self.known.list()?.contains_key(name) {
            return Ok(());
        }
        let file = self.known.path().display();
        let kept = match self.known.kept_in(name)? {
            Some(kept) if is_same(&kept, directory) || Plan::load(&kept)?.is_none() => {
                return Ok(());
            }
            Some(kept) => format!(
                ", kept in {0}: `emberfs up --dir {0}` starts that; for a new one",
                kept.display()
            ),
            None => ":".to_owned(),
        };
        Err(Usage(format!(
            "there is a cluster `{name}` in {file} already{kept} choose another --name, or take that out of the file"
        ))
        .into())
    }

    /// What `emberfs` must be told for commands about this cluster, with a blank before; empty if it is the only one.
    pub(crate) fn which(&self, name: &str) -> Result<String> {
        let others = self.known.list()?.into_keys().any(|known| known != name);
        Ok(if others { format!(" --cluster {name}") } else { String::new() })
    }

    /// The command that stops this cluster.
    pub(crate) fn down(&self, plan: &Plan) -> Result<String> {
        let which = self.which(&plan.name)?;
        Ok(match which.is_empty() || !is_default(&plan.directory) {
            true => plan.command("emberfs down"),
            false => format!("emberfs{which} down"),
        })
    }

    /// The file that has their names.
    pub(crate) fn known(&self) -> &Directory {
        &self.known
    }
}

/// Where a local cluster is kept if nothing else is said.
fn default() -> Option<PathBuf> {
    let base = choose_base_strategy().ok()?;
    Some(base.data_dir().join("emberfs").join(NAME))
}

/// Whether this is where a cluster is kept of which nothing is said.
pub(crate) fn is_default(directory: &Path) -> bool {
    default().is_some_and(|default| is_same(&default, directory))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    one == other || real(one) == real(other)
}

/// The directory that was named, unless a cluster was named too, and that is another.
fn agreed(asked: Asked<'_>, dir: &Path, name: &str) -> Result<PathBuf> {
    let other = asked.cluster.filter(|cluster| !cluster.contains(':') && *cluster != name);
    match other.filter(|_| asked.named == Named::Flag) {
        None => Ok(dir.to_owned()),
        Some(other) => {
            let dir = dir.display();
            let text = format!(
                "--cluster says `{other}`, and what --dir says ({dir}) is `{name}`: leave one of them out"
            );
            Err(Usage(text).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::plan::Shape;

    const SHAPE: Shape = Shape { meta: 1, storage: 1, disks: 1, replicas: 1 };

    struct Example {
        top: tempfile::TempDir,
        places: Places,
    }

    impl Example {
        fn new() -> Self {
            let top = tempfile::tempdir().expect("a temporary directory");
            let known = Directory::at(&top.path().join("config"));
            let places = Places { known, default: Some(top.path().join("default")) };
            Self { top, places }
        }

        /// Makes a cluster, entered with or without where it is kept.
        fn make(&self, directory: &str, name: &str, kept: bool) -> Plan {
            let plan =
                Plan::make(&self.top.path().join(directory), name, SHAPE).expect("free ports");
            let address = plan.meta_addresses()[0].parse().expect("an address");
            let address = ClusterAddress { cluster: None, meta: vec![address] };
            let kept = kept.then_some(plan.directory.as_path());
            self.places.known.insert(name, &address, kept).expect("written");
            plan
        }

        fn down(&self, cluster: Option<&str>) -> Result<PathBuf, String> {
            let asked = Asked { dir: None, cluster, named: Named::Flag };
            self.places.of_down(asked).map_err(|error| error.to_string())
        }

        fn up(&self, cluster: Option<&str>, name: Option<&str>) -> Result<PathBuf, String> {
            let asked = Asked { dir: None, cluster, named: Named::Flag };
            self.places.of_up(asked, name).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_named_cluster_leads_to_its_directory() {
        let example = Example::new();
        assert_eq!(example.down(None), Ok(example.top.path().join("default")), "none is known");
        let big = example.make("data", "big", true);
        assert_eq!(example.down(None), Ok(big.directory.clone()), "the only one");
        assert_eq!(example.down(Some("big")), Ok(big.directory.clone()));
        assert_eq!(example.down(Some(&big.meta_addresses()[0])), Ok(big.directory.clone()));
        assert_eq!(example.up(Some("big"), None), Ok(big.directory.clone()));
        assert_eq!(example.up(Some("mine"), Some("mine")), Ok(example.top.path().join("default")));
        for refused in [example.down(Some("mine")), example.up(Some("mine"), None)] {
            assert!(refused.expect_err("unknown").contains("known: big"));
        }
    }

    #[test]
    fn up_starts_the_only_known_cluster_where_nothing_speaks_for_another() {
        let example = Example::new();
        let default = Ok(example.top.path().join("default"));
        assert_eq!(example.up(None, None), default, "none is known");
        let big = example.make("data", "big", true);
        for named in [None, Some("big")] {
            assert_eq!(example.up(None, named), Ok(big.directory.clone()));
        }
        assert_eq!(example.up(None, Some("new")), default, "it is to be another");
        // One whose `up` was cut short before it was known goes on there.
        Plan::make(&example.top.path().join("default"), NAME, SHAPE).expect("free ports");
        assert_eq!(example.up(None, None), default);
        fs::remove_dir_all(example.top.path().join("default")).expect("removed");
        example.make("more", "more", true);
        assert_eq!(example.up(None, None), default, "which of two?");
    }

    #[test]
    fn a_known_cluster_that_is_removed_is_not_made_anew_elsewhere() {
        let example = Example::new();
        let big = example.make("data", "big", true);
        fs::remove_dir_all(&big.directory).expect("removed");
        assert_eq!(example.up(None, None), Ok(example.top.path().join("default")));
    }

    #[test]
    fn one_that_is_not_kept_here_is_refused_with_the_next_step() {
        let example = Example::new();
        example.make("data", "far", false);
        for refused in
            [example.down(None), example.down(Some("far")), example.up(Some("far"), None)]
        {
            let said = refused.expect_err("of other machines");
            assert!(said.contains("`far`") && said.contains("--dir"), "{said}");
        }
        let old = example.make("default", "local", false);
        assert_eq!(example.down(Some("local")), Ok(old.directory.clone()));
        assert_eq!(example.down(Some(&old.meta_addresses()[0])), Ok(old.directory.clone()));
        let said = example.down(None).expect_err("one of two");
        assert!(said.contains("far, local") && said.contains("--cluster"), "{said}");
        assert_eq!(example.places.which("far").expect("readable"), " --cluster far");
    }

    #[test]
    fn what_is_said_twice_must_agree() {
        let example = Example::new();
        let plan = example.make("data", "big", true);
        let asked = |cluster, named| Asked { dir: Some(&plan.directory), cluster, named };
        let down = |cluster, named| example.places.of_down(asked(cluster, named));
        assert!(down(Some("big"), Named::Flag).is_ok() && down(None, Named::Nowhere).is_ok());
        assert!(down(Some("small"), Named::Environment).is_ok(), "what is said here counts");
        let error = down(Some("small"), Named::Flag).expect_err("another");
        assert!(error.is::<Usage>() && error.to_string().contains("`big`"), "{error}");
    }

    #[test]
    fn a_name_that_another_cluster_has_is_not_given_again() {
        let example = Example::new();
        let plan = example.make("data", "big", true);
        let check = |directory: &Path| example.places.check_name("big", directory);
        assert!(
            check(&plan.directory).is_ok()
                && example.places.check_name("a", &plan.directory).is_ok()
        );
        let other = example.top.path().join("other");
        let said = check(&other).expect_err("taken").to_string();
        let start = format!("`emberfs up --dir {}` starts that", plan.directory.display());
        for words in ["`big`", "--name", &start] {
            assert!(said.contains(words), "{words}: {said}");
        }
        fs::remove_dir_all(&plan.directory).expect("removed");
        assert!(check(&other).is_ok(), "it is gone");
    }
}
