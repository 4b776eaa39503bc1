//! A file that is open for writing: what was written through its handle, and what goes on.
//!
//! ```text
//!   write_at ─► WriteCall ─► parts, each done or refused ─► `written` ─► report ─► the metadata group
//!                  │                                           ▲
//!                  └── dropped, or out of time: `given_up`,────┘
//!                      carried on until its parts are settled
//! ```
//! What a call wrote is noted when all of its parts are settled, also if some were refused. So after a report
//! with nothing given up, the length covers every byte that a server has by this handle. Until then the handle
//! stays open, and the metadata group knows that the length may be in doubt. With its bytes goes the last cut of
//! the file that was known before the first of them was sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use emberfs_client_session::{WriteId, Written};
use emberfs_layout::{InodeId, Sequence};
use emberfs_wire::meta::{Attributes, HandleId, WrittenRange};
use tokio::sync::OwnedRwLockReadGuard;

use super::{OpenFile, lock};
use crate::credentials::Credentials;
use crate::error::{ClientError, WaitingFor};
use crate::patience::Patience;
use crate::session::Session;
use crate::underway::{OnItsWay, Underway};

/// How long a dropped file keeps its client while it is being closed. It is tried for longer if somebody else
/// keeps the client; the end of the session closes it too.
const CLOSE_WAIT: Duration = Duration::from_secs(30);

/// The handle of a file that is open for writing.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) inode: InodeId,
    pub(crate) session: Arc<Session>,
    pub(super) handle: HandleId,
    pub(super) credentials: Credentials,
    pub(super) known: Arc<Known>,
    pub(super) written: Mutex<Written>,
    /// Held by the one that reports, until the report is through; whether it closed the handle.
    pub(super) reporting: Arc<tokio::sync::Mutex<bool>>,
    /// Held by writes together until they are settled, by a change of the length alone until it is through:
    /// none may arrive, or be reported, on the wrong side of the other.
    pub(super) length: Arc<tokio::sync::RwLock<()>>,
    /// Calls of which nobody waits for the end.
    given_up: Underway,
    /// What each part that is under way waits for.
    waits: Mutex<BTreeMap<WriteId, WaitingFor>>,
}

/// The attributes of an open file, as they were last heard of.
#[derive(Debug)]
pub(crate) struct Known(Mutex<Attributes>);

/// One call that writes, until all parts of it that were sent are settled.
#[derive(Debug)]
pub(crate) struct WriteCall {
    pub(crate) writer: Arc<Writer>,
    /// The last cut of the file that all of it comes after.
    pub(crate) since: Option<Sequence>,
    done: Mutex<Written>,
    failed: AtomicBool,
    /// Ends after `done` was noted.
    given_up: OnceLock<OnItsWay>,
    _together: OwnedRwLockReadGuard<()>,
}

impl Known {
    pub(super) fn new(attributes: Attributes) -> Arc<Self> {
        Arc::new(Self(Mutex::new(attributes)))
    }

    pub(super) fn now(&self) -> Attributes {
        *lock(&self.0)
    }

    /// Takes in what was heard, unless it is older than what is known; what is known then.
    pub(super) fn learn(&self, heard: Attributes) -> Attributes {
        let mut known = lock(&self.0);
        if heard.change >= known.change {
            *known = heard;
        }
        *known
    }
}

impl Writer {
    pub(super) fn new(
        (session, handle): (Arc<Session>, HandleId),
        inode: InodeId,
        credentials: &Credentials,
        known: &Arc<Known>,
    ) -> Self {
        Self {
            inode,
            session,
            handle,
            credentials: credentials.clone(),
            known: known.clone(),
            written: Mutex::default(),
            reporting: Arc::default(),
            length: Arc::default(),
            given_up: Underway::default(),
            waits: Mutex::default(),
        }
    }

    /// A part waits for this; `None`: for nothing any more.
    pub(crate) fn waits_for(&self, part: WriteId, what: Option<WaitingFor>) {
        let mut waits = lock(&self.waits);
        match what {
            Some(what) => waits.insert(part, what),
            None => waits.remove(&part),
        };
    }

    /// What is waited for now, if anything is: by one of the parts that wait.
    pub(super) fn waiting_for(&self) -> Option<WaitingFor> {
        let reports = self.reporting.try_lock().is_err();
        let report = reports.then(|| self.session.meta.waiting_for(None));
        let part = lock(&self.waits).values().next().cloned();
        part.or(report)
    }

    /// Waits until the calls that were given up before are settled.
    pub(super) async fn settle(&self, patience: &mut Patience) -> Result<(), ClientError> {
        let either = async {
            tokio::select! {
                () = self.given_up.earlier() => Ok(()),
                ended = self.session.ended() => Err(ended),
            }
        };
        patience.wait(|| WaitingFor::EarlierWrites, either).await?
    }

    /// Settles, reports, closes.
    pub(super) async fn close(
        self: &Arc<Self>,
        patience: &mut Patience,
    ) -> Result<(), ClientError> {
        self.settle(patience).await?;
        self.report(true, patience).await
    }
}

/// Closes a file that was dropped.
pub(super) fn close_behind(open: Arc<OpenFile>, writer: Arc<Writer>) {
    let session = writer.session.clone();
    session.spawn(async move {
        let mut closed = writer.close(&mut Patience::new(Some(CLOSE_WAIT))).await;
        drop(open);
        if let Err(error @ ClientError::Deadline { .. }) = &closed {
            tracing::warn!(inode = %writer.inode, %error, "a dropped file is not closed yet");
            closed = writer.close(&mut Patience::new(None)).await;
        }
        if let Err(error) = closed {
            tracing::warn!(inode = %writer.inode, %error, "a dropped file was not closed");
        }
    });
}

impl WriteCall {
    pub(crate) async fn begin(
        writer: &Arc<Writer>,
        patience: &mut Patience,
    ) -> Result<Arc<Self>, ClientError> {
        let together = writer.length.clone().read_owned();
        let together = patience.wait(|| WaitingFor::File, together).await?;
        let since = writer.known.now().data.and_then(|data| data.cut);
        Ok(Arc::new(Self {
            writer: writer.clone(),
            since,
            done: Mutex::default(),
            failed: AtomicBool::new(false),
            given_up: OnceLock::new(),
            _together: together,
        }))
    }

    /// The servers have this part.
    pub(crate) fn done(&self, range: WrittenRange) {
        lock(&self.done).add(range);
    }

    /// A part failed: no other is begun.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether a part failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.get().is_some()
    }

    /// Nobody waits for it any more, and some of it goes on.
    pub(crate) fn give_up(&self) {
        self.given_up.get_or_init(|| self.writer.given_up.begin());
    }
}

impl Drop for WriteCall {
    fn drop(&mut self) {
        let mut written = lock(&self.writer.written);
        let done = self.done.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        while let Some(range) = done.pop_first() {
            written.add(range);
        }
    }
}
