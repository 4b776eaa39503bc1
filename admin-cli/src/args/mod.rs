//! The command line: every command, its arguments and their help.

mod help;
#[cfg(test)]
mod reference;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{
    ArgGroup, Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueHint, value_parser,
};
use clap_complete::Shell;
use emberfs_client::{ClusterAddress, Directory, LayoutChange, Setting};
use emberfs_layout::{ChunkSize, ClientId, DiskId, StripeWidth, TableId};

use crate::commands::bench;
use crate::location::{ClusterPath, Location};

/// What names the cluster where the command line does not.
const ENVIRONMENT: &str = "EMBERFS_CLUSTER";

/// What options are called that every command has.
const EVERY: &str = "Options of every command";

/// Who said which cluster is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `--cluster`.
    Flag,
    /// `$EMBERFS_CLUSTER`.
    Environment,
    /// Nobody.
    Nowhere,
}

/// The distributed file system EmberFS: everything that its operator does
#[derive(Debug, Parser)]
#[command(name = "emberfs", version, after_help = help::EXAMPLES, propagate_version = true)]
pub(crate) struct Args {
    /// Which cluster: a name from clusters.toml, or addresses, host:port with commas between; by default
    /// $EMBERFS_CLUSTER, else the only one that is known
    #[arg(long, global = true, help_heading = EVERY)]
    #[arg(value_name = "NAME|ADDRESSES", value_parser = cluster)]
    pub(crate) cluster: Option<String>,
    /// Print JSON, with a `schema` number
    #[arg(long, global = true, help_heading = EVERY)]
    pub(crate) json: bool,
    /// Give up after so many seconds; by default questions wait 10, bench 10 for its session, mount 30 for the cluster,
    /// umount and down 30 for what is to be written, and file commands as long as they must
    #[arg(long, global = true, help_heading = EVERY)]
    #[arg(value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Reads the command line, and who named the cluster.
    pub(crate) fn read(
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<(Self, Named), clap::Error> {
        let args = Self::try_parse_from(words)?;
        args.named_by(std::env::var_os(ENVIRONMENT))
    }

    /// The same with what the environment says. Left to clap, that would stand as an option in every line of usage.
    fn named_by(mut self, environment: Option<OsString>) -> Result<(Self, Named), clap::Error> {
        if self.cluster.is_some() {
            return Ok((self, Named::Flag));
        }
        let Some(value) = environment else { return Ok((self, Named::Nowhere)) };
        let text = value.into_string().map_err(|_| "expected text".to_owned());
        let named = text.and_then(|text| cluster(&text)).map_err(|why| {
            Self::command().error(ErrorKind::ValueValidation, format!("${ENVIRONMENT}: {why}"))
        })?;
        self.cluster = Some(named);
        Ok((self, Named::Environment))
    }
}

/// A name, of which nobody knows yet whether a cluster has it, or addresses.
fn cluster(text: &str) -> Result<String, String> {
    if text.contains(':') {
        text.parse::<ClusterAddress>().map_err(|error| error.to_string())?;
    }
    Ok(text.to_owned())
}

fn name(text: &str) -> Result<String, String> {
    let is_name = Directory::is_name(text);
    is_name.then(|| text.to_owned()).ok_or_else(|| "expected letters, digits, `-`, `_`, `.`".into())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a cluster on this machine, or what is missing of it
    #[command(after_help = help::UP_EXAMPLES)]
    Up(UpArgs),
    /// Stop a cluster that `up` started, once its mounts have written all: every file is there at the next `up`
    #[command(after_help = help::DOWN_NOTES)]
    Down {
        /// Where it is kept; by default where clusters.toml says
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
        /// Also if its mount is in use; what mounts cannot write in --timeout is lost, and named
        #[arg(long)]
        force: bool,
    },
    /// Say how the cluster is, worst first
    #[command(after_help = help::STATUS_NOTES)]
    Status,
    /// Mount the cluster as a file system
    #[command(after_help = help::MOUNT_EXAMPLES)]
    Mount {
        /// Where; the directory is made if it is not there
        #[arg(value_hint = ValueHint::DirPath)]
        path: PathBuf,
        /// Mount options, with commas between them: see below
        #[arg(short = 'o', value_name = "OPTIONS")]
        options: Vec<String>,
        /// Stay until it is unmounted, and log to standard error
        #[arg(long)]
        foreground: bool,
    },
    /// Unmount it, and wait until all that was written to it is safe
    #[command(after_help = help::UMOUNT_NOTES)]
    Umount {
        /// Where it is, or was, mounted
        #[arg(value_hint = ValueHint::DirPath)]
        path: PathBuf,
        /// Also if it is in use; what it cannot write in --timeout is lost, and named
        #[arg(long)]
        force: bool,
    },
    /// The cluster as a whole
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Members of the metadata group
    #[command(subcommand)]
    Meta(MetaCommand),
    /// Storage servers
    #[command(subcommand)]
    Node(NodeCommand),
    /// Disks
    #[command(subcommand, after_help = help::DISK_EXAMPLES)]
    Disk(DiskCommand),
    /// Targets: the parts of disks that are replicas
    #[command(subcommand)]
    Target(TargetCommand),
    /// Chains of replicas
    #[command(subcommand)]
    Chain(ChainCommand),
    /// Tables of chains, over which files are striped
    #[command(subcommand)]
    ChainTable(ChainTableCommand),
    /// What new files get: chunk size, stripe width, chain table
    #[command(subcommand)]
    Layout(LayoutCommand),
    /// Clients: mounts and programs with a session
    #[command(subcommand)]
    Client(ClientCommand),
    /// What commands and servers go by
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List a directory
    #[command(after_help = help::LS_NOTES)]
    Ls {
        /// What to list
        #[arg(default_value = "ember:/")]
        path: ClusterPath,
        /// With kind, mode, owner, size and time
        #[arg(short)]
        long: bool,
    },
    /// Show attributes, layout, and where each chunk lives
    #[command(after_help = help::STAT_NOTES)]
    Stat {
        /// Of what
        path: ClusterPath,
    },
    /// Write files to standard output
    #[command(after_help = help::CAT_NOTES)]
    Cat {
        /// The files, in order
        #[arg(required = true)]
        paths: Vec<ClusterPath>,
    },
    /// Read every replica of files, and say what is corrupt, missing or different
    #[command(after_help = help::CHECK_EXAMPLES)]
    Check {
        /// Files, and directories with all that is in them
        #[arg(default_value = "ember:/")]
        paths: Vec<ClusterPath>,
    },
    /// Copy files into, out of, or within the cluster
    #[command(after_help = help::CP_EXAMPLES)]
    Cp {
        /// Copy directories with all that is in them
        #[arg(short, short_alias = 'R', long)]
        recursive: bool,
        /// What to copy, and last where to
        #[arg(required = true, num_args = 2.., value_hint = ValueHint::AnyPath)]
        paths: Vec<Location>,
    },
    /// Make directories
    Mkdir {
        /// Also those above, and none is a mistake that is there already
        #[arg(short, long)]
        parents: bool,
        /// The directories
        #[arg(required = true)]
        paths: Vec<ClusterPath>,
    },
    /// Rename within the cluster, in one step
    #[command(after_help = help::MV_NOTES)]
    Mv {
        /// What
        from: ClusterPath,
        /// Its new name, or a directory to move it into
        to: ClusterPath,
    },
    /// Remove files
    #[command(after_help = help::RM_NOTES)]
    Rm {
        /// Also directories, with all that is in them
        #[arg(short, short_alias = 'R', long)]
        recursive: bool,
        /// None is a mistake that is not there
        #[arg(short, long)]
        force: bool,
        /// What to remove
        #[arg(required = true)]
        paths: Vec<ClusterPath>,
    },
    /// Measure how fast the cluster is for one client
    #[command(after_help = bench::help())]
    Bench(BenchArgs),
    /// Print a completion script for a shell
    #[command(after_help = help::COMPLETIONS_NOTES)]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// A new cluster has the given sizes; one that is there keeps its own.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct UpArgs {
    /// Where it is kept; by default where the only one is that is known, and a new one below the user's data directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// What a new one is called in clusters.toml [default: local]
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<String>,
    /// Members of the metadata group: 1, 3 or 5; it bears the death of 0, 1 or 2 of them [default: 3]
    #[arg(long)]
    pub(crate) meta: Option<u16>,
    /// Storage servers [default: 3]
    #[arg(long)]
    pub(crate) storage: Option<u16>,
    /// Disks of each storage server: directories [default: 2]
    #[arg(long)]
    pub(crate) disks: Option<u16>,
    /// Copies of each chunk [default: 3]
    #[arg(long)]
    pub(crate) replicas: Option<u8>,
    /// Also mount it there, now and at every later `up`, beside where it is mounted already; `mounts` in
    /// DIR/local.toml has all of them
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(crate) mount: Option<PathBuf>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct BenchArgs {
    /// Only this benchmark; may be said several times
    #[arg(long = "row", value_name = "ID", value_parser = bench::is_row)]
    pub(crate) rows: Vec<String>,
    /// How long each is measured
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Also measure through this mount of the cluster, in a new directory there
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(crate) mount: Option<PathBuf>,
    /// Also measure what this machine could do at best: the same hops, bytes and flushes by three bare servers that
    /// keep no file system, in a new directory there, on the disk whose limit is wanted; it takes 2 GiB
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) limits: Option<PathBuf>,
    /// Carry out what standard input says, for `cargo xtask bench`
    #[arg(long, hide = true)]
    pub(crate) slices: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Found a cluster: format the directory of its first metadata member, and print the cluster's id
    #[command(after_help = help::INIT_NOTES)]
    Init {
        /// The member's configuration file
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: PathBuf,
    },
    /// Clusters that this user knows
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    /// List targets, with what each may do and what its server says
    #[command(after_help = help::TARGET_NOTES)]
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChainCommand {
    /// List chains, with their members, head first
    #[command(after_help = help::CHAIN_NOTES)]
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// List who has a session
    #[command(after_help = help::CLIENT_NOTES)]
    List,
    /// End sessions now, rather than when their clients have been silent for too long
    #[command(after_help = help::EVICT_NOTES)]
    Evict {
        /// Their numbers, as `client list` has them
        #[arg(required = true, value_name = "ID", value_parser = client)]
        clients: Vec<ClientId>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MetaCommand {
    /// List the members of the metadata group, each as it says itself
    #[command(after_help = help::META_NOTES)]
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List storage servers, with when each was heard last
    #[command(after_help = help::NODE_NOTES)]
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show which cluster commands are about, or every key of a server's configuration
    #[command(after_help = help::CONFIG_EXAMPLES)]
    Show {
        /// A configuration file of a storage server or a metadata member
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DiskCommand {
    /// Make an empty directory of this machine a disk of the cluster, and print the disk's id
    Format {
        /// The directory: best the root of a file system of its own
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
    /// Admit formatted disks that their servers have found
    Add {
        /// Their ids, as `disk format` and `disk list` show them
        #[arg(required = true)]
        disks: Vec<DiskId>,
        /// Targets on each: more spread a dead disk's load better
        #[arg(long, default_value_t = 4, value_parser = value_parser!(u16).range(1..))]
        targets: u16,
    },
    /// List disks, admitted or not, with how full each is
    #[command(after_help = help::DISK_NOTES)]
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChainTableCommand {
    /// Make a table of chains over free targets
    #[command(after_help = help::TABLE_NOTES)]
    Create(TableArgs),
    /// Show tables and their chains, or how evenly they lie
    #[command(after_help = help::TABLE_SHOW_NOTES)]
    Show {
        /// Of each disk and server: what it carries, and takes over when another dies
        #[arg(long)]
        evenness: bool,
    },
}

/// A new chain table.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct TableArgs {
    /// Copies of each chunk
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u8).range(1..))]
    pub(crate) replicas: u8,
    /// With fewer serving replicas writes wait [default: replicas - 1, at least 1]
    #[arg(long, value_parser = value_parser!(u8).range(1..))]
    pub(crate) min_serving: Option<u8>,
    /// Chunk size of files in it that say nothing else, in KiB [default: 1024]
    #[arg(long, value_name = "KIB", value_parser = chunk_size)]
    pub(crate) chunk_size: Option<ChunkSize>,
    /// Over the free targets of these disks alone
    #[arg(long = "disk", value_name = "ID", num_args = 1..)]
    pub(crate) disks: Vec<DiskId>,
    /// Over those of all disks of these servers, by name
    #[arg(long = "node", value_name = "NAME", num_args = 1..)]
    pub(crate) nodes: Vec<String>,
    /// New files go to it where their directory says nothing else; to the first table they do in any case
    #[arg(long = "default")]
    pub(crate) is_default: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LayoutCommand {
    /// Show what new files in a directory get and who says so, or what a file has
    #[command(after_help = help::LAYOUT_NOTES)]
    Get {
        /// A directory or a file
        path: ClusterPath,
    },
    /// Say what new files in a directory get; those that are there stay as they are
    #[command(after_help = help::LAYOUT_NOTES)]
    #[command(group(ArgGroup::new("settings").required(true).multiple(true)))]
    Set(LayoutArgs),
}

/// New settings of a directory.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LayoutArgs {
    /// The directory
    pub(crate) path: ClusterPath,
    /// Size of their chunks, a power of two from 64 to 65536 KiB; `default`: as their table says
    #[arg(long, value_name = "KIB|default", group = "settings", value_parser = setting(chunk_size))]
    pub(crate) chunk_size: Option<Setting<ChunkSize>>,
    /// Over how many chains each is spread; `default`: all of its table, at most 16
    #[arg(long, value_name = "CHAINS|default", group = "settings", value_parser = setting(stripe))]
    pub(crate) stripe: Option<Setting<StripeWidth>>,
    /// Over which table, by its number; `default`: the cluster's
    #[arg(long, value_name = "ID|default", group = "settings", value_parser = setting(table))]
    pub(crate) table: Option<Setting<TableId>>,
    /// First take all of them from the directory that it is in, as they are now
    #[arg(long, group = "settings")]
    pub(crate) inherit: bool,
}

impl LayoutArgs {
    /// As the cluster is asked for it.
    pub(crate) fn change(&self) -> LayoutChange {
        let Self { chunk_size, stripe, table, inherit, .. } = *self;
        LayoutChange { inherit, chunk_size, stripe, table }
    }
}

/// A value, or `default`.
fn setting<T>(
    parse: impl Fn(&str) -> Result<T, String> + Clone,
) -> impl Fn(&str) -> Result<Setting<T>, String> + Clone {
    move |text| match text {
        "default" => Ok(Setting::Default),
        value => parse(value).map(Setting::Is).map_err(|why| format!("{why}, or `default`")),
    }
}

fn stripe(text: &str) -> Result<StripeWidth, String> {
    let width: u32 = text.parse().map_err(|_| "expected a number of chains".to_owned())?;
    StripeWidth::new(width).map_err(|error| error.to_string())
}

/// `7`, or `client-7` as logs have it.
fn client(text: &str) -> Result<ClientId, String> {
    let number = text.strip_prefix("client-").unwrap_or(text);
    number.parse().map(ClientId).map_err(|_| "expected the number of a client".to_owned())
}

/// `2`, or `table-2` as it is printed.
fn table(text: &str) -> Result<TableId, String> {
    let number = text.strip_prefix("table-").unwrap_or(text);
    number.parse().map(TableId).map_err(|_| "expected the number of a chain table".to_owned())
}

/// Nothing that could be an address, or needs quotes anywhere.
fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    let kib: u64 = text.parse().map_err(|_| "expected a number of KiB".to_owned())?;
    ChunkSize::new(kib.saturating_mul(1024)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Args::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_told_from_help() {
        let parse = |words: &[&str]| Args::try_parse_from(words).expect_err("no command");
        assert!(parse(&["emberfs", "--no-such"]).use_stderr());
        assert!(!parse(&["emberfs", "--help"]).use_stderr());
        assert!(parse(&["emberfs", "up", "--name", "a:1"]).to_string().contains("letters, digits"));
        assert!(parse(&["emberfs", "cat", "/local"]).to_string().contains("ember:/path"));
        for wildcard in ["0.0.0.0:7000", "a:1,[::]:7000"] {
            let said = parse(&["emberfs", "--cluster", wildcard, "status"]).to_string();
            assert!(said.contains("where a server listens"), "{said}");
        }
    }

    #[test]
    fn a_layout_is_said_as_it_is_printed() {
        let change = |words: &[&str]| {
            let words = ["emberfs", "layout", "set", "ember:/d"].iter().chain(words);
            match Args::try_parse_from(words)?.command {
                Command::Layout(LayoutCommand::Set(args)) => Ok(args.change()),
                other => panic!("{other:?}"),
            }
        };
        let said = change(&["--chunk-size", "4096", "--stripe", "default", "--table", "table-2"]);
        let wanted = LayoutChange {
            inherit: false,
            chunk_size: Some(Setting::Is(ChunkSize::from_log2(22).expect("a size"))),
            stripe: Some(Setting::Default),
            table: Some(Setting::Is(TableId(2))),
        };
        assert_eq!(said.map_err(|error: clap::Error| error.to_string()), Ok(wanted));
        assert!(change(&["--inherit"]).expect("enough").inherit);
        let no = |words: &[&str]| change(words).expect_err("refused").to_string();
        assert!(no(&[]).contains("--inherit"), "{}", no(&[]));
        assert!(no(&["--chunk-size", "3"]).contains("64 KiB to 64 MiB, or `default`"));
        assert!(no(&["--stripe", "0"]).contains("at least one chain"));
        assert!(no(&["--table", "fast"]).contains("number of a chain table"));
    }

    #[test]
    fn who_named_the_cluster_is_known_wherever_it_stands() {
        let named = |words: &[&str]| {
            let (args, named) = Args::read(words.iter().map(Into::into)).expect("a command line");
            (args.cluster, named)
        };
        let flag = (Some("a:1".to_owned()), Named::Flag);
        assert_eq!(named(&["emberfs", "--cluster", "a:1", "status"]), flag);
        assert_eq!(named(&["emberfs", "node", "list", "--cluster", "a:1"]), flag);
        let by_environment = |words: &[&str], value: Option<&str>| {
            let args = Args::try_parse_from(words).expect("a command line");
            args.named_by(value.map(Into::into)).map(|(args, named)| (args.cluster, named))
        };
        let plain = ["emberfs", "status"];
        assert_eq!(by_environment(&plain, None).expect("read"), (None, Named::Nowhere));
        let found = by_environment(&plain, Some("big")).expect("read");
        assert_eq!(found, (Some("big".to_owned()), Named::Environment));
        let words = ["emberfs", "status", "--cluster", "a:1"];
        assert_eq!(by_environment(&words, Some("big")).expect("read"), flag);
        let said = by_environment(&plain, Some("a:b")).expect_err("no port").to_string();
        assert!(said.contains("$EMBERFS_CLUSTER: "), "{said}");
    }
}
