//! Keeps a client's session alive, and puts a new one in its place when it is lost.

use std::sync::Arc;
use std::time::Duration;

use emberfs_layout::ClientId;
use emberfs_wire::FsError;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::asked::Asked;
use crate::error::ClientError;
use crate::group::MetaLinks;
use crate::links::{Dialling, StorageLinks};
use crate::patience::Patience;
use crate::session::{Session, Standing, open};

/// How long a dropped client may take to say that its session is over; a session that said nothing is
/// ended when its lease is over.
const FAREWELL: Duration = Duration::from_secs(2);
/// However short its lease, a session is not renewed more often.
const RENEW_PAUSE_MIN: Duration = Duration::from_millis(100);
/// Between two tries to open a session that were refused.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// What it takes to open a session.
#[derive(Clone, Debug)]
pub(crate) struct Opener {
    /// Without a session's number.
    pub(crate) dialling: Dialling,
    /// Answers what the group asks.
    pub(crate) asked: Asked,
    pub(crate) what: String,
}

/// The session that a client has now; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    opener: Opener,
    sessions: Arc<watch::Sender<Arc<Session>>>,
    /// Told when somebody found the session lost.
    lost: Arc<Notify>,
}

impl Opener {
    /// Opens a session, by connections that are there already.
    async fn open(&self, by: &MetaLinks, patience: &mut Patience) -> Result<Session, ClientError> {
        let links = |client: ClientId| {
            let dialling = Dialling { client: Some(client), ..self.dialling.clone() };
            (by.beside(&dialling, &self.asked), StorageLinks::new(dialling))
        };
        open(by, &self.what, self.dialling.runtime.clone(), links, patience).await
    }
}

impl Keeper {
    pub(crate) async fn new(
        opener: Opener,
        by: &MetaLinks,
        patience: &mut Patience,
    ) -> Result<Self, ClientError> {
        let session = opener.open(by, patience).await?;
        let sessions = Arc::new(watch::Sender::new(Arc::new(session)));
        Ok(Self { opener, sessions, lost: Arc::default() })
    }

    /// The session as it is, live or not.
    pub(crate) fn now(&self) -> Arc<Session> {
        self.sessions.borrow().clone()
    }

    /// The live session; waits for one while a lost one is being replaced.
    pub(crate) async fn live(&self, patience: &mut Patience) -> Result<Arc<Session>, ClientError> {
        let now = self.now();
        if now.standing() != Standing::Lost {
            return now.check().map(|()| now);
        }
        self.lost.notify_one();
        let mut sessions = self.sessions.subscribe();
        let next = sessions.wait_for(|session| session.standing() != Standing::Lost);
        let next = patience.wait(|| now.meta.waiting_for(None), next).await?;
        let next = next.map_err(|_| ClientError::Closed)?.clone();
        next.check().map(|()| next)
    }

    /// Runs until it is dropped: three signs of life in each lease.
    pub(crate) async fn run(self) {
        loop {
            let session = self.now();
            let mut patience = Patience::new(None);
            match session.standing() {
                Standing::Closed => return,
                Standing::Live => match session.renew(&mut patience).await {
                    Err(ClientError::Fs(FsError::Stale)) => session.end(Standing::Lost),
                    Err(error) => tracing::warn!(%error, "cannot renew the session"),
                    Ok(()) => session.meta.learn_if_lacking().await,
                },
                Standing::Lost => match self.opener.open(&session.meta, &mut patience).await {
                    Ok(new) => {
                        tracing::warn!(lost = %session.client, new = %new.client, "session lost");
                        self.sessions.send_replace(Arc::new(new));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot open a new session");
                        sleep(REOPEN_PAUSE).await;
                    }
                },
            }
            if session.standing() == Standing::Live {
                let pause = (session.lease / 3).max(RENEW_PAUSE_MIN);
                let found_lost = timeout(pause, self.lost.notified()).await;
                tracing::trace!(found_lost = found_lost.is_ok(), "renewing");
            }
        }
    }

    /// Says that the session is over, without anybody who waits for it.
    pub(crate) fn part(&self) {
        let session = self.now();
        if session.standing() != Standing::Live {
            return;
        }
        session.end(Standing::Closed);
        self.opener.dialling.runtime.spawn(async move {
            let mut patience = Patience::new(Some(FAREWELL));
            if let Err(error) = session.say_end(&mut patience).await {
                tracing::debug!(%error, session = %session.client, "left without a good-bye");
            }
        });
    }
}
