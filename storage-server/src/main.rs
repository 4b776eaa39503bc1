//! `emberfs-storage`: a storage server, and the formatting of its disks.
#![forbid(unsafe_code)]

mod verbs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use emberfs_daemon::{config, ending, logging, shutdown::Shutdown};
use emberfs_storage_server::{Config, Server};
use verbs::{Verb, carry_out};

/// A storage server of EmberFS.
#[derive(Parser)]
#[command(name = "emberfs-storage", version, subcommand_negates_reqs = true)]
struct Arguments {
    /// The configuration file.
    #[arg(long, required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

fn main() -> ExitCode {
    let Arguments { config, verb } = Arguments::parse();
    ending::of(match verb {
        None => serve(&config.expect("required without a subcommand")),
        Some(verb) => carry_out(verb).map(|said| println!("{said}")),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn serve(file: &Path) -> anyhow::Result<()> {
    let config: Config = config::load(file)?;
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
