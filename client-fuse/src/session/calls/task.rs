//! A request that takes time: a task that runs its work and answers, once.
//!
//! ```text
//!   work ──────────────────────────────► done, refused: the answer
//!     └─ its caller waits no longer ───► EINTR; the work is dropped, or goes on without anybody
//! ```
//! To drop work does what a mount's deadline does: it ends the waiting. Bytes that were gathered stay and are reported
//! by the next sync.
//!
//! Changes, of names, lengths and attributes, and appends, end for callers that are killed alone: done or not, after
//! EINTR a program does them again. Those that have begun go on then, and all that changes something later waits for
//! them ([`Left`]): a removal whose caller was killed is done before the file is made anew, or never.
//!
//! Until when callers wait says their [`Patience`].

use std::fmt;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::left::{Leaving, Left, Turn};
use super::patience::{Patience, Waiter};
use crate::errno::Errno;
use crate::session::interrupts::Running;
use crate::session::reply::Reply;

/// What a task answers with.
#[derive(Debug, Default)]
pub(super) struct Answered {
    body: Bytes,
    opened: Option<Numbered>,
}

/// Something that the kernel has open from the answer on, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbered {
    File(u64),
    Directory(u64),
}

/// A task that is not started yet.
pub(super) struct Task {
    work: BoxFuture<'static, Result<Answered, Errno>>,
    patience: Patience,
    unattended: Unattended,
    waiter: Waiter,
}

/// What becomes of work for which its caller waits no longer.
#[derive(Debug)]
enum Unattended {
    /// It is dropped.
    Dropped,
    /// It goes on: what it opens is closed.
    GoesOn,
    /// If it has begun it goes on, in its turn: what changes something later waits for it. Else it is dropped.
    Left(Turn),
}

impl<T: Into<Bytes>> From<T> for Answered {
    fn from(body: T) -> Self {
        Self { body: body.into(), opened: None }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Task {
    /// One that a signal ends.
    pub(super) fn new(
        work: impl Future<Output = Result<Answered, Errno>> + Send + 'static,
    ) -> Self {
        Self {
            work: work.boxed(),
            patience: Patience::Signal,
            unattended: Unattended::Dropped,
            waiter: Waiter::default(),
        }
    }

    /// One that opens something. Its work goes on when it is interrupted, and what it opened is closed then.
    pub(super) fn opening(
        work: impl Future<Output = Result<(Vec<u8>, Numbered), Errno>> + Send + 'static,
    ) -> Self {
        let work = async move {
            let (body, opened) = work.await?;
            Ok(Answered { body: body.into(), opened: Some(opened) })
        };
        Self { unattended: Unattended::GoesOn, ..Self::new(work) }
    }

    /// The same, which changes something: it waits for what others have left, and once it has begun it goes on, also
    /// when its caller is killed.
    pub(super) fn changing(self, left: &Left) -> Self {
        let turn = left.turn();
        let (begins, work) = (turn.clone(), self.work);
        let work = async move {
            begins.take().await;
            work.await
        };
        let (patience, unattended) = (Patience::Death, Unattended::Left(turn));
        Self { work: work.boxed(), patience, unattended, ..self }
    }

    /// The same with another patience.
    pub(super) fn with(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The same for whom it is done.
    pub(super) fn of(self, waiter: Waiter) -> Self {
        Self { waiter, ..self }
    }

    /// Runs it, and answers. What it opened and the kernel does not know of is handed to `close`.
    pub(super) async fn run<C: Future<Output = ()>>(
        self,
        mut running: Running,
        reply: Reply,
        close: impl FnOnce(Numbered) -> C,
    ) {
        let Self { mut work, patience, unattended, waiter } = self;
        let answered = tokio::select! {
            biased;
            answered = &mut work => Some(answered),
            () = patience.end(&mut running, &waiter) => None,
        };
        drop(running);
        let mut leaving = None;
        let unheard = match answered {
            Some(Ok(answered)) => {
                let is_heard = reply.send(Ok(&answered.body));
                answered.opened.filter(|_| !is_heard)
            }
            Some(Err(errno)) => {
                reply.send(Err(errno));
                None
            }
            None => {
                // Before its caller is heard of again.
                let (goes_on, left) = unattended.begins();
                leaving = left;
                reply.send(Err(Errno::INTR));
                let answered = if goes_on { work.await.ok() } else { None };
                answered.and_then(|answered| answered.opened)
            }
        };
        if let Some(opened) = unheard {
            close(opened).await;
        }
        drop(leaving);
    }
}

impl Unattended {
    /// Whether the work goes on; and for how long others wait for it, where they do.
    fn begins(self) -> (bool, Option<Leaving>) {
        match self {
            Self::Dropped => (false, None),
            Self::GoesOn => (true, None),
            Self::Left(turn) => {
                let leaving = turn.leave();
                (leaving.is_some(), leaving)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::super::patience::{EVERYDAY_MAX, GRACE};
    use super::*;
    use crate::session::device::scripted::{Answer, Kernel};
    use crate::session::interrupts::Interrupts;

    const FOUND: &[u8] = b"found";

    fn answer(errno: i32, body: &[u8]) -> Answer {
        Answer { unique: 2, errno, body: body.to_vec() }
    }

    /// Work that opens something after a while.
    fn opening(after: Duration) -> Task {
        Task::opening(async move {
            let _later = timeout(after, future::pending::<()>()).await;
            Ok((FOUND.to_vec(), Numbered::File(7)))
        })
    }

    /// Runs it with a signal for its caller before, or none; what is closed behind it.
    async fn closed(task: Task, is_interrupted: bool, reply: Reply) -> Option<Numbered> {
        let all = Interrupts::default();
        if is_interrupted {
            all.interrupt(2);
        }
        let (mut closed, running) = (None, all.begin(2));
        task.run(running, reply, async |opened| closed = Some(opened)).await;
        closed
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_opened_for_nobody_is_closed() {
        let (kernel, device) = Kernel::new();
        let device = Arc::new(device);
        let reply = || Reply::new(&device, 2);
        assert_eq!(closed(opening(GRACE / 2), true, reply()).await, None, "it was quick");
        assert_eq!(kernel.answer(), answer(0, FOUND));
        let late = opening(2 * EVERYDAY_MAX);
        assert_eq!(closed(late, true, reply()).await, Some(Numbered::File(7)));
        assert_eq!(kernel.answer(), answer(Errno::INTR.raw_os_error(), b""));
        let refused = Task::opening(async { Err(Errno::ACCESS) });
        assert_eq!(closed(refused, false, reply()).await, None);
        assert_eq!(kernel.answer(), answer(Errno::ACCESS.raw_os_error(), b""));
        drop(kernel);
        let unheard = opening(GRACE);
        assert_eq!(closed(unheard, false, reply()).await, Some(Numbered::File(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn other_work_ends_with_its_caller() {
        let (kernel, device) = Kernel::new();
        let reply = Reply::new(&Arc::new(device), 2);
        let (alive, mut is_over) = oneshot::channel::<()>();
        let work = async move {
            let _alive = alive;
            future::pending().await
        };
        assert_eq!(closed(Task::new(work), true, reply).await, None);
        assert_eq!(kernel.answer(), answer(Errno::INTR.raw_os_error(), b""));
        is_over.try_recv().expect_err("it was dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_goes_on_once_it_has_begun_and_others_wait_for_it() {
        let (kernel, device) = Kernel::new();
        let device = Arc::new(device);
        let left = Left::default();
        let (done, is_done) = oneshot::channel::<()>();
        let work = async { is_done.await.map(|()| Answered::default()).map_err(|_| Errno::IO) };
        let change = Task::new(work).changing(&left).with(Patience::Signal);
        let mut task = pin!(closed(change, true, Reply::new(&device, 2)));
        assert!(timeout(2 * EVERYDAY_MAX, &mut task).await.is_err(), "it goes on");
        assert_eq!(kernel.answer(), answer(Errno::INTR.raw_os_error(), b""));
        let later = left.turn();
        assert!(later.take().now_or_never().is_none(), "the change is not done");
        done.send(()).expect("it goes on");
        assert_eq!(task.await, None);
        let unbegun = Unattended::Left(left.turn()).begins();
        assert!(!unbegun.0 && !Unattended::Dropped.begins().0);
        assert!(later.take().now_or_never().is_some());
    }
}
