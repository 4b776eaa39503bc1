//! The daemon: a client, its adapter, the kernel's session, from the first call to the last byte.
//!
//! | ends by | what it does |
//! | --- | --- |
//! | `umount` | writes what is left, closes, exits |
//! | SIGTERM, SIGINT | writes all, unmounts, writes what came meanwhile, closes, exits |
//! | a second signal | exits at once: what could not be written is lost, and logged |

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use emberfs_client::{Client, ClientOptions, Cluster, Directory};
use emberfs_daemon::logging::{self, LogConfig};
use emberfs_daemon::shutdown::Shutdown;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::adapter::Adapter;
use crate::background;
use crate::options::MountOptions;
use crate::session::Session;

/// How long the cluster may take to answer before the mount fails: beyond an election.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// How long bytes that cannot be written are tried again at the end: a service manager waits for longer.
const CLOSE_MAX: Duration = Duration::from_secs(60);
/// How long an unmounted session may take to end where nobody has files open.
const END_MAX: Duration = Duration::from_secs(2);
/// How long the metadata servers may take to hear that the session ends.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// Mounts, serves until the end, and leaves nothing unwritten.
///
/// # Errors
/// Why it could not mount, or what could not be written.
pub(crate) async fn serve(options: &MountOptions, announce: bool) -> Result<()> {
    start_log(options, announce)?;
    let client = connect(options).await?;
    let adapter = Adapter::new(client.clone());
    let mut shutdown = Shutdown::listen()?;
    let start = || Session::start(adapter.clone(), Handle::current(), options);
    let mut session = tokio::task::block_in_place(start)?;
    if announce && let Err(error) = background::announce() {
        session.unmount()?;
        return Err(error).context("nobody waits for the mount");
    }
    tracing::info!(cluster = %client.cluster(), path = %options.path.display(), "mounted");
    let sweeper = tokio::spawn({
        let adapter = adapter.clone();
        async move { adapter.sweep().await }
    });
    let served = tokio::select! {
        ended = session.ended() => ended,
        signal = shutdown.requested() => {
            tracing::info!(signal, "stopping");
            Ok(())
        }
    };
    let stopped = tokio::select! {
        stopped = stop(&adapter, &client, &mut session) => stopped,
        signal = shutdown.requested() => Err(anyhow!("{signal} before all was written")),
    };
    sweeper.abort();
    stopped?;
    served.context("reading the kernel's requests")
}

fn start_log(options: &MountOptions, background: bool) -> Result<()> {
    let mut config = LogConfig { file: options.log.clone(), ..LogConfig::default() };
    if background && config.file.is_none() {
        config.file = Some(background::default_log(options)?);
    }
    if let Some(level) = &options.log_level {
        config.level.clone_from(level);
    }
    Ok(logging::start(&config)?)
}

async fn connect(options: &MountOptions) -> Result<Client> {
    let address = Directory::of_user()?.find(Some(&options.cluster))?;
    let what = format!("mount at {}", options.path.display());
    let ours = ClientOptions { what, ..ClientOptions::default() };
    // Asked first with a deadline, which says what was waited for; the mount itself waits as long as it must.
    let asking = ClientOptions { deadline: Some(CONNECT_MAX), ..ours.clone() };
    Cluster::connect(&address, &asking).await.with_context(|| options.cluster.clone())?;
    let connected = timeout(CONNECT_MAX, Client::connect(&address, &ours)).await;
    let silent = || format!("{}: no metadata server answers", options.cluster);
    connected.with_context(silent)?.with_context(|| options.cluster.clone())
}

/// Writes all, unmounts, writes what came meanwhile, closes.
async fn stop(adapter: &Adapter, client: &Client, session: &mut Session) -> Result<()> {
    if session.is_mounted() {
        // What cannot be written now is tried again below.
        let _kept = adapter.settle_all().await;
        session.unmount()?;
        // It goes on where somebody has files open; their daemon goes all the same.
        let _open = timeout(END_MAX, session.ended()).await;
    }
    let until = Instant::now() + CLOSE_MAX;
    adapter.close_all(until).await.context("bytes that were written are lost")?;
    // Where no metadata server answers any more, the session ends by itself.
    match timeout(FAREWELL_MAX, client.close()).await {
        Ok(closed) => closed.context("saying good-bye to the metadata servers"),
        Err(_) => {
            tracing::warn!("no metadata server heard the good-bye");
            Ok(())
        }
    }
}
