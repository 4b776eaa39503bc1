//! `emberfs-meta`: a member of the metadata group.
#![forbid(unsafe_code)]

mod verbs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use emberfs_daemon::{config, ending, logging, shutdown::Shutdown};
use emberfs_meta_server::{Config, Server};
use verbs::{Verb, carry_out};

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

fn main() -> ExitCode {
    let Arguments { config, verb } = Arguments::parse();
    ending::of(match verb {
        None => serve(&config.expect("required without a verb")),
        Some(verb) => carry_out(verb).map(|said| println!("{said}")),
    })
}

#[tokio::main]
async fn serve(file: &Path) -> anyhow::Result<()> {
    let config: Config = config::load(file)?;
    logging::start(&config.log)?;
    let mut shutdown = Shutdown::listen()?;
    let server = Server::start(&config).await?;
    tokio::select! {
        signal = shutdown.requested() => tracing::info!(signal, "stopping"),
        () = server.ended() => {}
    }
    Ok(server.stop().await?)
}
