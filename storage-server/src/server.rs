//! A running storage server: its threads, started and stopped in order.
//!
//! ```text
//!   start:  directory, disks (identity, lock) ─► shards open engines ─► listen ─► heartbeats
//!   stop:   listener closed ─► shards drain, flush, close ─► heartbeats end (the lease is needed till then)
//! ```
//!
//! A disk that does not answer must not keep the process from its end: the thread of its shard, which cannot let go of
//! memory that the disk may still use, is left behind after `STOP_MAX`, and ends with the process. It holds the disk's
//! lock till then; the next start recovers the disk as after a crash.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use emberfs_layout::DiskId;
use emberfs_wire::handshake::ShardIndex;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::LocalSet;

use crate::clock::Clock;
use crate::config::Config;
use crate::disks::{self, FoundDisk};
use crate::error::{Fault, StartError};
use crate::heartbeat;
use crate::news::{News, ShardReport};
use crate::service::front::Front;
use crate::shard::{self, CLOSE_MAX, DRAIN_MAX, INBOX, Opened};

/// How long a stop waits for threads: for what they may take, and some more to let go of their memory and files.
const STOP_MAX: Duration =
    DRAIN_MAX.saturating_add(CLOSE_MAX).saturating_add(Duration::from_secs(5));

/// A server that runs. Dropped, it stops as by [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    front: Option<Thread>,
    shards: Vec<Thread>,
    heartbeat: Option<Thread>,
    fault: mpsc::Receiver<Fault>,
}

/// A thread, and what ends it.
#[derive(Debug)]
struct Thread {
    stop: oneshot::Sender<()>,
    /// Nothing is sent by it: its sender goes when the work has ended.
    ended: std::sync::mpsc::Receiver<()>,
    handle: JoinHandle<()>,
}

impl Server {
    /// Opens the disks and listens. Registration goes on behind it: until the cluster has answered,
    /// connections are refused with a word to come back.
    ///
    /// # Errors
    /// [`StartError`]; nothing on the disks was changed then, and nothing runs.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let own = disks::own_directory(&config)?;
        let found = disks::find(&config, own.identity().node)?;
        let clock = Clock::new();
        let (tell, news) = watch::channel(None);
        let (tell_fault, fault) = mpsc::channel(1);
        let mut server =
            Self { addresses: Vec::new(), front: None, shards: Vec::new(), heartbeat: None, fault };
        let shards = server.start_shards(&config, found, clock, &news)?;
        server.listen(&config, news, shards.inboxes)?;
        let told: Vec<String> = match &config.advertise[..] {
            [] => server.addresses.iter().map(ToString::to_string).collect(),
            named => named.iter().map(ToString::to_string).collect(),
        };
        let setup = heartbeat::Setup {
            config,
            own,
            homes: shards.homes,
            addresses: told,
            clock,
            tell,
            reports: shards.reports,
            urgent: shards.urgent,
        };
        server.heartbeat = Some(Thread::spawn("emberfs-heartbeat", |stop| {
            on_local_set(async move {
                tokio::select! {
                    fault = heartbeat::run(setup) => {
                        let _ending = tell_fault.send(fault).await;
                    }
                    _ = stop => {}
                }
            });
        })?);
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends when the server can do nothing but stop, and says why.
    pub async fn fault(&mut self) -> Fault {
        self.fault.recv().await.unwrap_or(Fault::NoHeartbeats)
    }

    /// Takes no more connections, finishes what is under way (for a bounded time), makes everything
    /// durable, and ends all threads, except one whose disk does not answer.
    pub fn stop(mut self) {
        self.stop_threads();
    }

    fn stop_threads(&mut self) {
        let shards = std::mem::take(&mut self.shards);
        self.front.take().into_iter().for_each(|front| join_all(vec![front], STOP_MAX));
        join_all(shards, STOP_MAX);
        self.heartbeat.take().into_iter().for_each(|heartbeat| join_all(vec![heartbeat], STOP_MAX));
    }

    fn start_shards(
        &mut self,
        config: &Arc<Config>,
        found: Vec<FoundDisk>,
        clock: Clock,
        news: &watch::Receiver<Option<News>>,
    ) -> Result<Shards, StartError> {
        let count = config.shard_count().min(found.len());
        let mut parts: Vec<Vec<FoundDisk>> = (0..count).map(|_| Vec::new()).collect();
        found.into_iter().enumerate().for_each(|(i, disk)| parts[i % count].push(disk));
        let (inboxes, outlets): (Vec<_>, Vec<_>) =
            parts.iter().map(|_| mpsc::channel(INBOX)).unzip();
        let urgent = Arc::new(Notify::new());
        let mut starting = Vec::new();
        for (index, (disks, inbox)) in parts.into_iter().zip(outlets).enumerate() {
            let index =
                ShardIndex(u16::try_from(index).expect("the configuration bounds the shards"));
            let (report, reports) = watch::channel(ShardReport::default());
            let (opened, ready) = std::sync::mpsc::channel();
            let setup = shard::Setup {
                index,
                config: Arc::clone(config),
                memory: config.shard_memory(),
                disks,
                clock,
                inbox,
                others: inboxes.clone(),
                news: news.clone(),
                report,
                urgent: Arc::clone(&urgent),
            };
            let name = format!("emberfs-shard-{}", index.0);
            self.shards.push(Thread::spawn(&name, move |stop| {
                on_local_set(shard::run(setup, opened, stop));
            })?);
            starting.push((name, index, reports, ready));
        }
        let mut shards = Shards { inboxes, urgent, homes: BTreeMap::new(), reports: Vec::new() };
        let mut tried = 0;
        for (thread, index, reports, ready) in starting {
            let Opened { disks, left_out } =
                ready.recv().map_err(|_| StartError::Ended { thread })?;
            tried += disks.len() + left_out;
            shards.homes.extend(disks.into_iter().map(|disk| (disk, index)));
            shards.reports.push(reports);
        }
        if shards.homes.is_empty() { Err(StartError::NoDisk { tried }) } else { Ok(shards) }
    }

    fn listen(
        &mut self,
        config: &Arc<Config>,
        news: watch::Receiver<Option<News>>,
        shards: Vec<mpsc::Sender<shard::ShardCommand>>,
    ) -> Result<(), StartError> {
        let (told, bound) = std::sync::mpsc::channel();
        let config = Arc::clone(config);
        let front = Front { cluster: config.cluster, news, shards };
        self.front = Some(Thread::spawn("emberfs-front", move |stop| {
            on_local_set(async move {
                let beyond = config.listen_beyond_loopback_without_authentication;
                let listeners = match Front::listen(&config.listen, beyond) {
                    Ok(listeners) => listeners,
                    Err(error) => return drop(told.send(Err(error))),
                };
                let address = |one: &TcpListener| one.local_addr().expect("it is bound");
                let addresses = Ok(listeners.iter().map(address).collect());
                if told.send(addresses).is_ok() {
                    tokio::select! {
                        () = front.run(listeners) => {}
                        _ = stop => {}
                    }
                }
            });
        })?);
        let ended = || StartError::Ended { thread: "emberfs-front".to_owned() };
        self.addresses = bound.recv().map_err(|_| ended())??;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

/// What the shards gave to those who speak with them.
struct Shards {
    inboxes: Vec<mpsc::Sender<shard::ShardCommand>>,
    urgent: Arc<Notify>,
    homes: BTreeMap<DiskId, ShardIndex>,
    reports: Vec<watch::Receiver<ShardReport>>,
}

impl Thread {
    fn spawn(
        name: &str,
        work: impl FnOnce(oneshot::Receiver<()>) + Send + 'static,
    ) -> Result<Self, StartError> {
        let (stop, stopped) = oneshot::channel();
        let (at_work, ended) = std::sync::mpsc::channel();
        let thread = thread::Builder::new().name(name.to_owned());
        let handle = thread.spawn(move || {
            let _at_work = at_work;
            work(stopped);
        })?;
        Ok(Self { stop, ended, handle })
    }
}

/// Tells all to stop, then waits for all, so long; who takes longer is left behind.
fn join_all(threads: Vec<Thread>, time: Duration) {
    let deadline = Instant::now() + time;
    let stop = |Thread { stop, ended, handle }: Thread| {
        let _ended = stop.send(());
        (ended, handle)
    };
    let stopping: Vec<_> = threads.into_iter().map(stop).collect();
    for (ended, handle) in stopping {
        let left = deadline.saturating_duration_since(Instant::now());
        if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            let thread = handle.thread().name().unwrap_or_default();
            tracing::error!(
                thread,
                "a thread does not end: it is left behind, until the process has ended"
            );
            continue;
        }
        // A thread that panicked has logged it.
        let _panicked = handle.join();
    }
}

/// Runs `work`, and the local tasks that it spawns, on this thread.
fn on_local_set(work: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("an event loop: descriptors and memory for one more");
    LocalSet::new().block_on(&runtime, work);
}

/// From now on a panic of any thread ends the process at once: what a shard half did stays undone, and its
/// disks are recovered by the next start. For a process that is a server and nothing else.
pub fn die_of_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        std::process::abort();
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_end_is_left_behind() {
        let (disk, answer) = std::sync::mpsc::channel::<()>();
        let (tell, ended) = std::sync::mpsc::channel();
        let tells = tell.clone();
        let stuck = Thread::spawn("stuck", move |stop| {
            stop.blocking_recv().expect("told to stop");
            answer.recv().expect_err("it never answers");
            tell.send("stuck").expect("the test waits");
        });
        let well = Thread::spawn("well", move |stop| {
            stop.blocking_recv().expect("told to stop");
            tells.send("well").expect("the test waits");
        });
        join_all(vec![well.expect("a thread")], STOP_MAX);
        assert_eq!(ended.try_recv(), Ok("well"), "it has ended");
        join_all(vec![stuck.expect("a thread")], Duration::ZERO);
        assert!(ended.try_recv().is_err(), "it has not");
        drop(disk);
        assert_eq!(ended.recv(), Ok("stuck"));
    }
}
