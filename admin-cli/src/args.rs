//! The command line: every command, its arguments and their help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{
    Args as ClapArgs, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint, value_parser,
};
use clap_complete::Shell;
use emberfs_client::{ClusterAddress, Directory};
use emberfs_layout::{ChunkSize, DiskId};

use crate::location::{ClusterPath, Location};

const EXAMPLES: &str = "\
A first look, on this machine alone:
  emberfs up                              a cluster of three storage servers, as processes
  emberfs cp -r photos ember:/photos      copy a directory into it
  emberfs ls ember:/photos
  emberfs status                          what is wrong, if anything is
  emberfs down                            stop it; `up` brings everything back

Which cluster a command is about is said by --cluster (a name from clusters.toml, or
host:port[,host:port]), by $EMBERFS_CLUSTER, or by there being only one.

Exit status: 0 done; 1 failed, be it in part; 64 wrong usage; 130 `cp` interrupted.
Of `status`: 0 healthy, 1 degraded, 2 unavailable, 3 cannot tell. Of `up`, once all runs: as
of `status`. Of `check`: 0 whole, 1 something is wrong, 3 cannot tell.";

/// What options are called that every command has.
const EVERY: &str = "Options of every command";

const UP_EXAMPLES: &str = "\
Examples:
  emberfs up                                what is stopped or missing is started, or a first cluster is made
  emberfs up --mount ~/ember                a cluster, mounted
  emberfs up --storage 1 --replicas 1       one server, one copy: for a laptop
  emberfs up --dir /data/ember --name big   elsewhere, under a name of its own
`emberfs down` stops it, and the next `emberfs up` brings the same files back. To be rid of it for good, stop it, and
remove DIR and its entry in clusters.toml (`emberfs cluster list`; `emberfs config show` says where that file is).

--meta, --storage, --disks and --replicas are decided once, when it is made. Servers are processes of this machine, and
a disk is a directory in DIR: who loses what DIR lies on loses all copies.

It waits for all that passes by itself, a server that starts, say. Exit status, once all runs, as of `emberfs status`:
0 healthy; 1 degraded, or failed; 2 unavailable. What is wrong then is said.";

const DOWN_NOTES: &str = "\
Examples:
  emberfs down                  the only cluster that is known
  emberfs down --cluster big    that of this name
  emberfs down --timeout 300    where a mount has much to write

It is the cluster in --dir, or that which --cluster or $EMBERFS_CLUSTER names, or the only one that is known, where
`emberfs up` has made that on this machine. All that `up --mount` has mounted is unmounted first, and has --timeout to
write what it has; where it is in use, or has not written all by then, nothing is stopped, and what to do is said. A
mount made otherwise stays, and waits until the cluster is up again.

Bytes of a mount are lost where --force or its own `-o deadline` gives them up, or its daemon has died. That is said,
and holds nothing up: the servers are stopped all the same, and the exit status is 1.

Exit status: 0 stopped, or nothing ran; 1 not stopped, or not all of it, or bytes of a mount are lost.";

const MOUNT_EXAMPLES: &str = "\
Examples:
  emberfs mount ~/ember
  emberfs --cluster host-1:7000 mount /mnt/data -o ro,allow_other
  emberfs mount /mnt/data -o deadline=60

It returns when it is mounted; a daemon serves it from then on. `emberfs umount PATH` ends both.

Options, with commas between them:
  ro                     nothing can be changed by it
  allow_other            other users may use it too; root's mounts are always so
  deadline=SECONDS       a call that waits for longer fails, and what does not get on for so long when it is unmounted is
                         lost; without it both wait for as long as the cluster is away
  direct_io              no page cache
  noexec, noatime, …     as mount(8) has them; nosuid and nodev hold, unless root says `suid` or `dev`
  log=FILE               where the daemon logs; else root's in /var/log/emberfs, others' in ~/.local/state/emberfs
  log_level=LEVEL        how much: error, warn, info, debug, trace
  remount                with others: changes `ro` and the like of a mount that is there

Once /sbin/mount.emberfs is installed, also:
  mount -t emberfs host-1:7000,host-2:7000:/ /mnt/data
of which mount(8) hides `suid` and `dev`: there they are `allow_suid` and `allow_dev`.";

const UMOUNT_NOTES: &str = "\
Examples:
  emberfs umount ~/ember
  emberfs umount ~/ember --timeout 300    where it has much to write
  emberfs umount ~/ember --force          also if programs use it; what it cannot write in 30 s is lost

Where a program has something of it open, or works in a directory of it, nothing is unmounted. Else nobody finds files
by PATH any more, and the mount's daemon writes what it has. The daemon goes on until it has written all, also without
this command: called again, that waits for it again. What it waits for is said. A mount with `-o deadline` gives up by
itself what does not get on for so long: that is lost, and named.

Exit status: 0 all is safe, or its daemon is dead or out of sight, which is said; 1 not unmounted, as it is in
use or no EmberFS, not all written yet, or bytes are lost.";

const NODE_NOTES: &str = "\
DOMAIN is the number of what a server fails with, its rack say: `domain` of its configuration. No two replicas of
a chain lie in one. A server that is given none is one of its own, with a number from 2147483648.";

const LS_NOTES: &str = "\
With --json, a name that is no text (UTF-8) stands there a second time as `name_bytes`, in hexadecimal; of
`stat` and `check` it is `path_bytes`.";

const DISK_EXAMPLES: &str = "\
Examples, on the disk's machine:
  emberfs disk format /data/disk-3    an empty directory: prints the disk's id
  (enter it into `disks` of the server's configuration, and restart the server)
  emberfs disk add 0123456789abcdef0123456789abcdef
  emberfs chain-table create          files go to it from then on";

const CP_EXAMPLES: &str = "\
Examples:
  emberfs cp model.pt ember:/models/          in
  emberfs cp -r ember:/runs/7 .               out
  emberfs cp -r ember:/runs/7 ember:/runs/8   within
  mysqldump all | emberfs cp /dev/stdin ember:/dump

What cannot be copied is said and passed over, and the exit status is 1 then; only where the destination has no room,
or the cluster does not answer in --timeout, nothing more is begun. A file whose copy fails is removed again if it is
new, and said to be incomplete if it was there before. Ctrl-C, SIGTERM and SIGHUP do the same with those that are
under way; a second Ctrl-C or SIGTERM leaves them as they are.

Permission bits are kept, less the umask; owners, times and hard links are not. A link that is found is copied, one
that is named is followed, unless with -r. Holes stay holes. A file of this machine is on its disk when it is done.";

const CHECK_EXAMPLES: &str = "\
Every chunk is read from every replica that serves it, its checksums are compared, then the replicas with each
other. It may run while others write: what differs is read again before it is called a difference.

Examples:
  emberfs check                  the whole cluster
  emberfs check ember:/models --json

Exit status: 0 every replica is whole; 1 something is corrupt, missing, different or lost; 3 something could
not be read, as a replica does not serve or a server does not answer.";

const CONFIG_EXAMPLES: &str = "\
Examples:
  emberfs config show                              which cluster commands are about, and why
  emberfs config show /etc/emberfs/storage.toml    every key of a server's file";

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
#[command(name = "emberfs", version, after_help = EXAMPLES, propagate_version = true)]
pub(crate) struct Args {
    /// Which cluster: a name from clusters.toml, or addresses, host:port with commas between
    #[arg(long, global = true, help_heading = EVERY, env = "EMBERFS_CLUSTER")]
    #[arg(value_name = "NAME|ADDRESSES", value_parser = cluster)]
    pub(crate) cluster: Option<String>,
    /// Print JSON, with a `schema` number
    #[arg(long, global = true, help_heading = EVERY)]
    pub(crate) json: bool,
    /// Give up after so many seconds; by default questions wait 10, mount 30 for the cluster, umount and down 30 for
    /// what is to be written, and file commands as long as they must
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
        let matches = Self::command().try_get_matches_from(words)?;
        let named = match matches.value_source("cluster") {
            Some(ValueSource::EnvVariable) => Named::Environment,
            Some(_) => Named::Flag,
            None => Named::Nowhere,
        };
        Ok((Self::from_arg_matches(&matches)?, named))
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
    #[command(after_help = UP_EXAMPLES)]
    Up(UpArgs),
    /// Stop a cluster that `up` started, once its mounts have written all: every file is there at the next `up`
    #[command(after_help = DOWN_NOTES)]
    Down {
        /// Where it is kept; by default where clusters.toml says
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
        /// Also if its mount is in use; what mounts cannot write in --timeout is lost, and named
        #[arg(long)]
        force: bool,
    },
    /// Say how the cluster is, worst first
    Status,
    /// Mount the cluster as a file system
    #[command(after_help = MOUNT_EXAMPLES)]
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
    #[command(after_help = UMOUNT_NOTES)]
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
    /// Storage servers
    #[command(subcommand)]
    Node(NodeCommand),
    /// Disks
    #[command(subcommand, after_help = DISK_EXAMPLES)]
    Disk(DiskCommand),
    /// Targets: the parts of disks that are replicas
    #[command(subcommand)]
    Target(ListCommand),
    /// Chains of replicas
    #[command(subcommand)]
    Chain(ListCommand),
    /// Tables of chains, over which files are striped
    #[command(subcommand)]
    ChainTable(ChainTableCommand),
    /// Clients: mounts and programs with a session
    #[command(subcommand)]
    Client(ListCommand),
    /// What commands and servers go by
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List a directory
    #[command(after_help = LS_NOTES)]
    Ls {
        /// What to list
        #[arg(default_value = "ember:/")]
        path: ClusterPath,
        /// With kind, mode, owner, size and time
        #[arg(short)]
        long: bool,
    },
    /// Show attributes, layout, and where each chunk lives
    Stat {
        /// Of what
        path: ClusterPath,
    },
    /// Write files to standard output
    Cat {
        /// The files, in order
        #[arg(required = true)]
        paths: Vec<ClusterPath>,
    },
    /// Read every replica of files, and say what is corrupt, missing or different
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// Files, and directories with all that is in them
        #[arg(default_value = "ember:/")]
        paths: Vec<ClusterPath>,
    },
    /// Copy files into, out of, or within the cluster
    #[command(after_help = CP_EXAMPLES)]
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
    Mv {
        /// What
        from: ClusterPath,
        /// Its new name, or a directory to move it into
        to: ClusterPath,
    },
    /// Remove files
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
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// A new cluster has the given sizes; one that is there keeps its own.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct UpArgs {
    /// Where it is kept; by default below the user's data directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// What a new one is called in clusters.toml [default: local]
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<String>,
    /// Members of the metadata group [default: 1]
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

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Found a cluster: format the directory of its first metadata member, and print the cluster's id
    Init {
        /// The member's configuration file
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: PathBuf,
    },
    /// Clusters that this user knows
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ListCommand {
    /// List them
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List them
    #[command(after_help = NODE_NOTES)]
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show which cluster commands are about, or every key of a server's configuration
    #[command(after_help = CONFIG_EXAMPLES)]
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
    /// List them
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChainTableCommand {
    /// Make a table of chains over all free targets
    Create {
        /// Copies of each chunk
        #[arg(long, default_value_t = 3, value_parser = value_parser!(u8).range(1..))]
        replicas: u8,
        /// With fewer serving replicas writes wait [default: replicas - 1, at least 1]
        #[arg(long, value_parser = value_parser!(u8).range(1..))]
        min_serving: Option<u8>,
        /// Chunk size of files that say nothing else, in KiB [default: 1024]
        #[arg(long, value_name = "KIB", value_parser = chunk_size)]
        chunk_size: Option<ChunkSize>,
    },
    /// Show tables and their chains
    Show,
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
    fn who_named_the_cluster_is_known_wherever_it_stands() {
        let named = |words: &[&str]| {
            let (args, named) = Args::read(words.iter().map(Into::into)).expect("a command line");
            (args.cluster, named)
        };
        let flag = (Some("a:1".to_owned()), Named::Flag);
        assert_eq!(named(&["emberfs", "--cluster", "a:1", "status"]), flag);
        assert_eq!(named(&["emberfs", "node", "list", "--cluster", "a:1"]), flag);
        if std::env::var_os("EMBERFS_CLUSTER").is_none() {
            assert_eq!(named(&["emberfs", "status"]), (None, Named::Nowhere));
        }
    }
}
