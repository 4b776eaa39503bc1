//! The daemon: a client, its adapter, the kernel's session, from the first call to the last byte.
//!
//! | ends by | what it does |
//! | --- | --- |
//! | `umount` | writes what is left, closes, exits; says what that waits for |
//! | SIGTERM, SIGINT | unmounts, lets open files be used for a moment more, then the same |
//! | the kernel, as somebody aborts the connection | unmounts, then the same, and fails |
//! | a second signal, `-o deadline` | exits at once: what could not be written is lost, and named |

use std::time::Duration;

use anyhow::{Context, Result, bail};
use emberfs_client::{Client, ClientError, ClientOptions, Cluster, Directory};
use emberfs_client_fuse_mounts::Said;
use emberfs_daemon::logging::{self, LogConfig};
use emberfs_daemon::metrics;
use emberfs_daemon::shutdown::Shutdown;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use crate::adapter::Adapter;
use crate::background::{self, ABANDONED};
use crate::closing::{Closing, Lost};
use crate::notice::tell;
use crate::options::MountOptions;
use crate::presence::Presence;
use crate::session::{MountError, Session};

/// How long the cluster may take to answer before the mount fails: beyond an election.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// Before this nobody wonders what that waits for.
const FIRST_LINE: Duration = Duration::from_secs(2);
/// How long an unmounted session may go on where somebody has files open.
const END_MAX: Duration = Duration::from_secs(2);
/// How long `umount -f` may take from when it has ended the connection to when it takes the mount away.
const LEAVE_MAX: Duration = Duration::from_secs(1);
/// How often is looked whether it has.
const LEAVE_LOOK: Duration = Duration::from_millis(20);
/// How long the metadata servers may take to hear that the session ends.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// Mounts, serves until the end, and leaves nothing unwritten. The cluster may take `time` to answer, where somebody
/// said so, but no longer than a call of the mount.
///
/// # Errors
/// Why it could not mount, or what could not be written.
pub(crate) async fn serve(
    options: &MountOptions,
    time: Option<Duration>,
    announce: bool,
) -> Result<()> {
    start_log(options, announce)?;
    // A mount without metrics is better than none: the daemon of an earlier one may still write, and hold the port.
    let _metrics = metrics::serve(options.metrics, false)
        .inspect_err(|error| tracing::warn!(%error, "metrics are not told"));
    let client = tokio::select! {
        client = connect(options, time, announce || options.log.is_some()) => client?,
        () = background::abandoned(), if announce => {
            tracing::error!("{ABANDONED}");
            bail!(ABANDONED);
        }
    };
    let adapter = Adapter::new(client.clone(), options.deadline);
    let mut shutdown = Shutdown::listen()?;
    let start = || Session::start(adapter.clone(), Handle::current(), options);
    let mut session = tokio::task::block_in_place(start)?;
    // Whoever hears that it is mounted finds its daemon.
    let presence = Presence::start(&client.cluster().to_string(), session.mount_point());
    let announced = if announce { background::announce() } else { Ok(()) };
    tracing::info!(cluster = %client.cluster(), path = %options.path.display(), "mounted");
    let sweeper = tokio::spawn({
        let adapter = adapter.clone();
        async move { adapter.sweep().await }
    });
    let (served, asked) = match announced {
        Ok(()) => tokio::select! {
            ended = session.ended() => {
                let ended = ended.inspect_err(|error| tracing::error!(%error, "the mount ends"));
                (ended.context("reading the kernel's requests"), false)
            }
            signal = shutdown.requested() => {
                tracing::info!(signal, "stopping");
                (Ok(()), true)
            }
        },
        // Somebody may have found and used it all the same: it ends as any other.
        Err(error) => {
            tracing::error!(%error, "{ABANDONED}");
            (Err(error).context(ABANDONED), true)
        }
    };
    let unmounted = unmount(&mut session).await;
    let closing = Closing {
        adapter: &adapter,
        presence: &presence,
        shutdown: &mut shutdown,
        asked,
        deadline: options.deadline,
        aloud: options.log.is_some(),
    };
    let closed = closing.run().await;
    sweeper.abort();
    end(closed, &client, presence).await?;
    unmounted?;
    served
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

/// `aloud`: people read standard error, and not the log.
async fn connect(options: &MountOptions, time: Option<Duration>, aloud: bool) -> Result<Client> {
    let address = Directory::of_user()?.find(Some(&options.cluster))?;
    let (begun, limit) = (Instant::now(), time.unwrap_or(CONNECT_MAX));
    let limit = options.deadline.map_or(limit, |deadline| deadline.min(limit));
    let what = format!("mount at {}", options.path.display());
    let ours = ClientOptions { what, deadline: options.deadline, ..ClientOptions::default() };
    // Asked first with a deadline, which says what was waited for.
    let asking = |time| ClientOptions { deadline: Some(time), ..ours.clone() };
    let mut asked = Cluster::connect(&address, &asking(FIRST_LINE.min(limit))).await;
    if let Err(ClientError::Deadline { what }) = &asked
        && FIRST_LINE < limit
    {
        tell(&format!("{}: still waiting for {what}", options.cluster), aloud);
        asked = Cluster::connect(&address, &asking(limit - FIRST_LINE)).await;
    }
    asked.with_context(|| options.cluster.clone())?;
    let connected =
        timeout(limit.saturating_sub(begun.elapsed()), Client::connect(&address, &ours)).await;
    let silent = || format!("{}: no metadata server answers", options.cluster);
    connected.with_context(silent)?.with_context(|| options.cluster.clone())
}

/// Unmounts, unless somebody has; those who have files open may use them for a moment more.
async fn unmount(session: &mut Session) -> Result<()> {
    let unmounted = match session.is_over() {
        true => leave(session).await,
        false => session.unmount(),
    };
    if let Err(error) = unmounted {
        tracing::error!(%error, "not unmounted: it stays there, without a daemon");
        return Err(error.into());
    }
    if !session.is_over() {
        let _open = timeout(END_MAX, session.ended()).await;
    }
    Ok(())
}

/// Leaves nothing behind of a mount whose connection the kernel has ended: `umount -f` does that before it takes the
/// mount away, which it does not do where somebody has a file open.
async fn leave(session: &Session) -> Result<(), MountError> {
    let end = Instant::now() + LEAVE_MAX;
    while session.mount_point().place()?.is_some() {
        if Instant::now() >= end {
            tracing::warn!(
                "the connection was ended by force, and the mount was left: unmounting it"
            );
            return session.unmount();
        }
        sleep(LEAVE_LOOK).await;
    }
    Ok(())
}

/// Ends the session, if a metadata server hears that in time; else it ends by itself, some time later.
async fn say_farewell(client: &Client) {
    match timeout(FAREWELL_MAX, client.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the session ends without a good-bye"),
        Err(_) => tracing::warn!("no metadata server heard the good-bye"),
    }
}

/// Says how it ended, to all who want to know.
async fn end(closed: Result<(), Lost>, client: &Client, presence: Presence) -> Result<()> {
    let Err(lost) = closed else {
        say_farewell(client).await;
        tracing::info!("all is written");
        presence.end(Said::Done).await;
        return Ok(());
    };
    // So that nothing of it arrives any more, and its files give back what they hold.
    say_farewell(client).await;
    let files = lost.changing();
    if !files.is_empty() {
        tracing::warn!(
            files,
            "ended before it was known whether these are changed as was asked for"
        );
    }
    if !lost.has_bytes() {
        tracing::warn!("all bytes are written; the metadata servers find out the lengths");
        presence.end(Said::Done).await;
        return Ok(());
    }
    tracing::error!("{lost}");
    presence.end(Said::Lost(lost.to_string())).await;
    Err(lost.into())
}
