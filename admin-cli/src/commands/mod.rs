//! What each command does: from its arguments to its end.

pub(crate) mod bench;
pub(crate) mod chain_table;
mod client;
mod cluster;
mod config;
pub(crate) mod disk;
mod files;
mod layout;
mod lists;
mod meta;
mod status;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::args::{
    Args, ChainCommand, ChainTableCommand, ClientCommand, ClusterCommand, Command, ConfigCommand,
    DiskCommand, MetaCommand, Named, NodeCommand, TargetCommand,
};
use crate::connection::Connection;
use crate::exit::{self, End};
use crate::local::place::Asked;
use crate::mount_daemon::Waiting;
use crate::{local, log, mountpoint};

/// How long a mount may take to write what it has, where nothing else is said: more than a healthy one
/// needs for all that it may gather.
const UNMOUNT_TIME: Duration = Duration::from_secs(30);

/// Carries a command out, to its end.
pub(crate) fn run(args: Args, named: Named) -> Result<End> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start threads")?;
    let Args { cluster, json, timeout, command } = args;
    log::start()?;
    let connection = Connection { cluster, named, timeout };
    let end = runtime.block_on(dispatch(&connection, json, command));
    // What still runs waits for nobody who matters: a resolver that hangs, say.
    runtime.shutdown_background();
    end
}

async fn dispatch(connection: &Connection, json: bool, command: Command) -> Result<End> {
    let unmount_time = connection.timeout.unwrap_or(UNMOUNT_TIME);
    match command {
        Command::Status => return status::run(connection, json).await,
        Command::Check { paths } => return files::check::run(connection, json, &paths).await,
        Command::Bench(args) => return bench::run(connection, json, &args).await,
        Command::Up(args) => {
            return local::up::run(place(connection, args.dir.as_deref()), &args).await;
        }
        Command::Down { dir, force } => {
            let how = local::down::How { force, time: unmount_time };
            return local::down::run(place(connection, dir.as_deref()), how).await;
        }
        Command::Mount { path, options, foreground } => {
            let path = match mountpoint::is_remount(&options) {
                true => path,
                false => mountpoint::vacant(&path).await?,
            };
            let address = connection.address()?;
            mountpoint::mount(&address, &path, &options, foreground, connection.timeout)?;
        }
        Command::Umount { path, force } => {
            let command = &format!("emberfs umount {}", path.display());
            let how = Waiting { time: unmount_time, gives_up: force, command };
            mountpoint::unmount(&path, how).await?;
        }
        Command::Cluster(ClusterCommand::Init { config }) => cluster::init(&config)?,
        Command::Cluster(ClusterCommand::List) => cluster::list(json)?,
        Command::Meta(MetaCommand::List) => meta::list(connection, json).await?,
        Command::Node(NodeCommand::List) => lists::nodes(connection, json).await?,
        Command::Target(TargetCommand::List) => lists::targets(connection, json).await?,
        Command::Chain(ChainCommand::List) => lists::chains(connection, json).await?,
        Command::Client(ClientCommand::List) => lists::clients(connection, json).await?,
        Command::Client(ClientCommand::Evict { clients }) => {
            client::evict(&connection.cluster().await?, &clients).await?;
        }
        Command::Config(ConfigCommand::Show { file: None }) => config::cluster(connection, json)?,
        Command::Config(ConfigCommand::Show { file: Some(file) }) => config::server(&file, json)?,
        Command::Disk(DiskCommand::List) => lists::disks(connection, json).await?,
        Command::Disk(DiskCommand::Format { directory }) => {
            disk::format(connection, &directory).await?;
        }
        Command::Disk(DiskCommand::Add { disks, targets }) => {
            let cluster = connection.cluster().await?;
            disk::until_found(&cluster, &disks, connection.patience()).await?;
            disk::add(&cluster, &disks, targets).await?;
        }
        Command::ChainTable(ChainTableCommand::Create(args)) => {
            chain_table::check(&args)?;
            let cluster = connection.cluster().await?;
            chain_table::create(&cluster, &args).await?;
        }
        Command::ChainTable(ChainTableCommand::Show { evenness }) => {
            chain_table::show(connection, evenness, json).await?;
        }
        Command::Completions { shell } => {
            let (mut command, mut script) = (Args::command(), Vec::new());
            clap_complete::generate(shell, &mut command, "emberfs", &mut script);
            exit::out().write_all(&script)?;
        }
        files => return files::run(connection, json, files).await,
    }
    Ok(End::Done)
}

/// What was said of where a local cluster is kept.
fn place<'a>(connection: &'a Connection, dir: Option<&'a Path>) -> Asked<'a> {
    Asked { dir, cluster: connection.cluster.as_deref(), named: connection.named }
}
