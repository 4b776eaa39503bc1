//! `emberfs-meta`: a member of the metadata group.
#![forbid(unsafe_code)]

mod verbs;

use std::process::ExitCode;

use emberfs_daemon::{logging, metrics, program, shutdown::Shutdown};
use emberfs_meta_server::{Config, Server};

fn main() -> ExitCode {
    let about = "A member of EmberFS's metadata group.";
    program::run("emberfs-meta", about, |config| serve(&config), verbs::carry_out)
}

#[tokio::main]
async fn serve(config: &Config) -> anyhow::Result<()> {
    logging::start(&config.log)?;
    let mut shutdown = Shutdown::listen()?;
    let beyond = config.listen_beyond_loopback_without_authentication;
    let _metrics = metrics::serve(config.metrics, beyond)?;
    let server = Server::start(config).await?;
    tokio::select! {
        signal = shutdown.requested() => tracing::info!(signal, "stopping"),
        () = server.ended() => {}
    }
    Ok(server.stop().await?)
}
