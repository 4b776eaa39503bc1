//! A client's session: what makes it known, and its changes happen once.
//!
//! A session has its own connections, which introduce themselves by its number. It is *live* until the
//! metadata group says that it ended it (*lost*), or the client is dropped or closed (*closed*). A lost
//! session never comes back: the client opens a new one, and what was under way under the old is told so,
//! because under a new number it would not be the same request.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use emberfs_client_session::{Blocked, Slots, Tags, WriteId};
use emberfs_layout::{ByteLen, ChainId, ChunkId, ClientId, Sequence};
use emberfs_wire::FsError;
use emberfs_wire::meta::{Caller, EndSession, Mutate, Mutation, MutationReply, OpenSession, Slot};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::carried::Carried;
use crate::error::{ClientError, WaitingFor};
use crate::group::MetaLinks;
use crate::links::StorageLinks;
use crate::patience::Patience;

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Standing {
    Live,
    Lost,
    Closed,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: ClientId,
    pub(crate) lease: Duration,
    pub(crate) meta: MetaLinks,
    pub(crate) storage: StorageLinks,
    runtime: Handle,
    tags: Mutex<Tags>,
    slots: Mutex<Slots>,
    /// Told whenever a slot or a number was given back.
    given_back: Notify,
    standing: watch::Sender<Standing>,
}

/// The number of a write that is under way, given back when it is dropped: in doubt if something was sent, and
/// nobody said that the write is settled.
#[derive(Debug)]
pub(crate) struct WriteNumber {
    session: Arc<Session>,
    pub(crate) id: WriteId,
    /// How often it was sent.
    copies: AtomicU32,
    settled: AtomicBool,
}

impl Drop for WriteNumber {
    fn drop(&mut self) {
        let mut tags = self.session.tags();
        match *self.settled.get_mut() || *self.copies.get_mut() == 0 {
            true => tags.settled(self.id),
            false => tags.doubted(self.id),
        }
        drop(tags);
        self.session.given_back.notify_waiters();
    }
}

impl WriteNumber {
    /// A copy of it leaves.
    pub(crate) fn send(&self) {
        self.copies.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a copy of it left.
    pub(crate) fn was_sent(&self) -> bool {
        self.copies.load(Ordering::Relaxed) > 0
    }

    /// It is done.
    pub(crate) fn done(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// The last copy was refused, and nothing is left of it; an earlier one may come still.
    pub(crate) fn refused(&self) {
        self.settled.store(self.copies.load(Ordering::Relaxed) == 1, Ordering::Relaxed);
    }

    /// Nobody waits for the write any more, which has so many bytes.
    pub(crate) fn give_up(&self, len: ByteLen) {
        self.session.tags().give_up(self.id, len);
    }
}

/// Opens a session: `links` makes the connections that will bear its number.
pub(crate) async fn open(
    first: &MetaLinks,
    what: &str,
    runtime: Handle,
    links: impl Fn(ClientId) -> (MetaLinks, StorageLinks),
    patience: &mut Patience,
) -> Result<Session, ClientError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().to_owned();
    let request = OpenSession { start: rand::random(), host, what: what.to_owned() };
    let opened = first.call(&request, patience).await?;
    let (meta, storage) = links(opened.client);
    Ok(Session {
        client: opened.client,
        lease: Duration::from_millis(u64::from(opened.lease_ms)),
        meta,
        storage,
        runtime,
        tags: Mutex::default(),
        slots: Mutex::new(Slots::new(opened.client, opened.slots)),
        given_back: Notify::new(),
        standing: watch::Sender::new(Standing::Live),
    })
}

impl Session {
    pub(crate) fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Says how it stands from now on; it only gets worse.
    pub(crate) fn end(&self, standing: Standing) {
        self.standing.send_if_modified(|now| {
            let worse = *now < standing;
            if worse {
                *now = standing;
            }
            worse
        });
    }

    /// Fails if it is not live.
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        match self.standing() {
            Standing::Live => Ok(()),
            Standing::Lost => Err(ClientError::SessionLost),
            Standing::Closed => Err(ClientError::Closed),
        }
    }

    /// Waits until it is not live.
    pub(crate) async fn ended(&self) -> ClientError {
        let mut standing = self.standing.subscribe();
        let ended = standing.wait_for(|standing| *standing != Standing::Live).await;
        drop(ended);
        self.check().expect_err("it waited for that")
    }

    /// After somebody answered [`FsError::Stale`]: that may be the session or the file.
    pub(crate) async fn check_stale(&self, patience: &mut Patience) -> Result<(), ClientError> {
        match self.renew(patience).await {
            Err(ClientError::Fs(FsError::Stale)) => self.end(Standing::Lost),
            other => other?,
        }
        self.check()
    }

    /// One sign of life.
    pub(crate) async fn renew(&self, patience: &mut Patience) -> Result<(), ClientError> {
        let renewal = self.tags().renewal(self.client);
        self.meta.call(&renewal, patience).await.map(|_| ())
    }

    /// Tells the metadata group that the session is over.
    pub(crate) async fn say_end(&self, patience: &mut Patience) -> Result<(), ClientError> {
        match self.meta.call(&EndSession { client: self.client }, patience).await {
            Ok(_) | Err(ClientError::Fs(FsError::Stale)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Changes the namespace. Once it has a slot, the change is carried through to its reply even if nobody
    /// waits for it any more: only then can the slot be used again.
    pub(crate) async fn mutate(
        self: &Arc<Self>,
        caller: Caller,
        mutation: Mutation,
        patience: &mut Patience,
    ) -> Result<MutationReply, ClientError> {
        let slot = self.slot(patience).await?;
        let (session, request) = (self.clone(), Mutate { slot, caller, mutation });
        let task = self.runtime.spawn(async move { session.carry_through(request).await });
        let what = || self.meta.waiting_for(None);
        match patience.wait_quietly(what, task).await? {
            Ok(Err(ClientError::Fs(FsError::Stale))) => {
                self.check_stale(patience).await?;
                Err(FsError::Stale.into())
            }
            Ok(answer) => answer,
            // The runtime is being shut down.
            Err(_) => Err(ClientError::Closed),
        }
    }

    async fn carry_through(&self, request: Mutate) -> Result<MutationReply, ClientError> {
        let mut patience = Patience::new(None);
        let answer = tokio::select! {
            answer = self.meta.call(&request, &mut patience) => answer,
            ended = self.ended() => return Err(ended),
        };
        self.slots().answered(request.slot);
        self.given_back.notify_waiters();
        answer
    }

    async fn slot(&self, patience: &mut Patience) -> Result<Slot, ClientError> {
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            given_back.as_mut().enable();
            self.check()?;
            let slot = self.slots().take();
            if let Some(slot) = slot {
                return Ok(slot);
            }
            let either = async {
                tokio::select! { () = given_back => {}, _ = self.ended() => {} }
            };
            patience.wait(|| WaitingFor::Slot, either).await?;
        }
    }

    /// A number for a write to `chunk`, which is on `chain`.
    pub(crate) async fn write_number(
        self: &Arc<Self>,
        chain: ChainId,
        chunk: ChunkId,
        patience: &mut Patience,
    ) -> Result<WriteNumber, ClientError> {
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            given_back.as_mut().enable();
            self.check()?;
            let begun = self.tags().begin(chain, chunk);
            let blocked = match begun {
                Ok(id) => {
                    let (copies, settled) = (AtomicU32::new(0), AtomicBool::new(false));
                    return Ok(WriteNumber { session: self.clone(), id, copies, settled });
                }
                Err(blocked) => blocked,
            };
            let what = || match blocked {
                Blocked::By(_) => WaitingFor::EarlierWrite { chunk },
                Blocked::Full => WaitingFor::EarlierWrites,
            };
            let either = async {
                tokio::select! { () = given_back => {}, _ = self.ended() => {} }
            };
            patience.wait(what, either).await?;
        }
    }

    /// Has `future` go on when it is dropped; `goes_on` says then whether it need.
    pub(crate) fn carry<T: Send + 'static, G: FnOnce() -> bool>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
        goes_on: G,
    ) -> Carried<T, G> {
        Carried::new(&self.runtime, future, goes_on)
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Every write to `chain` below this is settled.
    pub(crate) fn low_water(&self, chain: ChainId) -> Sequence {
        self.tags().low_water(chain)
    }

    fn tags(&self) -> MutexGuard<'_, Tags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
