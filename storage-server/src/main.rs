//! `emberfs-storage`: a storage server, and the formatting of its disks.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use emberfs_daemon::{config, logging, shutdown::Shutdown};
use emberfs_layout::ClusterId;
use emberfs_storage_server::{Config, Server, ensure_disk, format_disk};

/// A storage server of EmberFS.
#[derive(Parser)]
#[command(name = "emberfs-storage", version, subcommand_negates_reqs = true)]
struct Arguments {
    /// The configuration file.
    #[arg(long, required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    order: Option<Order>,
}

#[derive(Subcommand)]
enum Order {
    /// Makes an empty directory a disk, and prints the disk's id.
    FormatDisk {
        /// The directory, best the root of a file system of its own.
        directory: PathBuf,
        /// The cluster that it is for.
        #[arg(long)]
        cluster: ClusterId,
        /// One that is a disk of this cluster already stays as it is.
        #[arg(long)]
        if_needed: bool,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Arguments { config, order } = Arguments::parse();
    if let Some(Order::FormatDisk { directory, cluster, if_needed }) = order {
        let format = if if_needed { ensure_disk } else { format_disk };
        println!("{}", format(&directory, cluster)?);
        return Ok(());
    }
    let config: Config = config::load(&config.expect("required without a subcommand"))?;
    logging::start(&config.log)?;
    emberfs_storage_server::server::die_of_panics();
    let mut shutdown = Shutdown::listen()?;
    let mut server = Server::start(config)?;
    tokio::select! {
        signal = shutdown.requested() => {
            tracing::info!(signal, "stopping");
            server.stop();
            Ok(())
        }
        fault = server.fault() => Err(fault.into()),
    }
}
