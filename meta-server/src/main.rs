//! `emberfs-meta`: a member of the metadata group.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use emberfs_daemon::{config, logging, shutdown::Shutdown};
use emberfs_layout::ClusterId;
use emberfs_meta_server::{Config, Server, ensure_formatted, format};

/// A member of EmberFS's metadata group.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    /// Serve, by this configuration.
    #[arg(long, required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Make the configured directory a new member's, and print the cluster's id.
    Format {
        /// The member's configuration.
        #[arg(long)]
        config: PathBuf,
        /// Join this cluster; without it, a new one is founded.
        #[arg(long)]
        cluster: Option<ClusterId>,
        /// One that is a member's already stays as it is.
        #[arg(long)]
        if_needed: bool,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Verb::Format { config: file, cluster, if_needed }) = arguments.verb {
        let format = if if_needed { ensure_formatted } else { format };
        println!("{}", format(&config::load(&file)?, cluster)?);
        return Ok(());
    }
    let config: Config = config::load(&arguments.config.expect("required without a verb"))?;
    logging::start(&config.log)?;
    let mut shutdown = Shutdown::listen()?;
    let server = Server::start(&config).await?;
    tokio::select! {
        signal = shutdown.requested() => tracing::info!(signal, "stopping"),
        () = server.ended() => {}
    }
    Ok(server.stop().await?)
}
