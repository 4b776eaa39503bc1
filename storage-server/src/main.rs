//! `emberfs-storage`: a storage server, and the formatting of its disks.
#![forbid(unsafe_code)]

mod verbs;

use std::process::ExitCode;

use emberfs_daemon::{logging, metrics, program, shutdown::Shutdown};
use emberfs_storage_server::{Config, Server};
use mimalloc::MiMalloc;

/// A write takes and frees some hundred small pieces of memory on each server.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    program::run("emberfs-storage", "A storage server of EmberFS.", serve, verbs::carry_out)
}

#[tokio::main(flavor = "current_thread")]
async fn serve(config: Config) -> anyhow::Result<()> {
    logging::start(&config.log)?;
    emberfs_storage_server::server::die_of_panics();
    let mut shutdown = Shutdown::listen()?;
    let beyond = config.listen_beyond_loopback_without_authentication;
    let _metrics = metrics::serve(config.metrics, beyond)?;
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
