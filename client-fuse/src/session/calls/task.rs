//! A request that takes time: a task that runs its work and answers, once.
//!
//! ```text
//!   work ──────────────────────────────► done, refused: the answer
//!     └─ a signal for who waits ─ 200 ms ─► EINTR; the work is dropped, or goes on without anybody
//! ```
//! To drop work does what a mount's deadline does: it ends the waiting. Bytes that were gathered stay and are reported
//! by the next sync.
//!
//! Changes, of names, lengths and attributes, and appends, end for callers that are killed alone: done or not, after
//! EINTR a program does them again. Those that have begun go on then, and all that changes something later waits for
//! them ([`Left`]): a removal whose caller was killed is done before the file is made anew, or never.
//!
//! Signals by which nobody wants a call to end, those of timers say, end one only when it has taken longer than it takes
//! a cluster to do without a server: most programs that have a handler for these take EINTR for a failure.
//!
//! Some wait differently, see [`Patience`]. What a caller can never be told of again is its own end: a thread that
//! has begun to close all of its files takes no signal any more. So `close` looks for itself whether its caller is
//! being killed. Whoever *exits by itself* with bytes that no server has waits for the servers, as in `close`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::left::{Left, Turn};
use crate::errno::Errno;
use crate::session::reply::Reply;
use crate::session::signals::{Pending, pending};
use crate::session::under_way::Running;

/// How long a call may take after a signal before it ends: no quick call ends without having been done, and whoever is
/// killed is gone within a second. So often it is asked what signals wait.
const GRACE: Duration = Duration::from_millis(200);
/// The same where only signals wait by which nobody wants it to end: beyond a dead server and a dead leader at once.
const EVERYDAY_MAX: Duration = Duration::from_secs(10);

/// Until when a task waits for its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until a signal for its caller.
    Signal,
    /// Until its caller is killed: something is changed; or a page of a file is read, and a signal that the program
    /// survives would have it killed by SIGBUS.
    Death,
    /// Until either: the caller closes a file, perhaps as the last thing that it does.
    Close,
    /// For ever: nobody waits for it.
    Endless,
}

/// What a task answers with.
#[derive(Debug, Default)]
pub(super) struct Answered {
    body: Bytes,
    opened: Option<Opened>,
}

/// Something that the kernel has open from the answer on, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    File(u64),
    Directory(u64),
}

/// A task that is not started yet.
pub(super) struct Task {
    work: BoxFuture<'static, Result<Answered, Errno>>,
    patience: Patience,
    /// Whether work that nobody waits for goes on to its end.
    goes_on: bool,
    /// What changes something has its turn among those that do.
    turn: Option<Turn>,
    /// The calling thread.
    thread: u32,
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
            goes_on: false,
            turn: None,
            thread: 0,
        }
    }

    /// One that opens something. Its work goes on when it is interrupted, and what it opened is closed then.
    pub(super) fn opening(
        work: impl Future<Output = Result<(Vec<u8>, Opened), Errno>> + Send + 'static,
    ) -> Self {
        let work = async move {
            let (body, opened) = work.await?;
            Ok(Answered { body: body.into(), opened: Some(opened) })
        };
        Self { goes_on: true, ..Self::new(work) }
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
        let (patience, turn) = (Patience::Death, Some(turn));
        Self { work: work.boxed(), patience, goes_on: true, turn, ..self }
    }

    /// The same with another patience.
    pub(super) fn with(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The same for this thread.
    pub(super) fn of(self, thread: u32) -> Self {
        Self { thread, ..self }
    }

    /// Runs it, and answers. What it opened and the kernel does not know of is handed to `close`.
    pub(super) async fn run<C: Future<Output = ()>>(
        self,
        mut running: Running,
        reply: Reply,
        close: impl FnOnce(Opened) -> C,
    ) {
        let Self { mut work, patience, goes_on, turn, thread } = self;
        let answered = tokio::select! {
            biased;
            answered = &mut work => Some(answered),
            () = patience.end(&mut running, thread) => None,
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
                // What has not begun is forgotten. What has is left before its caller is heard of again.
                let is_change = turn.is_some();
                leaving = turn.and_then(|turn| turn.leave());
                reply.send(Err(Errno::INTR));
                let goes_on = goes_on && (!is_change || leaving.is_some());
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

impl Patience {
    /// Returns when it is at its end.
    async fn end(self, running: &mut Running, thread: u32) {
        match self {
            Self::Signal => told(running, thread).await,
            Self::Death => {
                running.interrupted().await;
                loop {
                    sleep(GRACE).await;
                    if pending(thread).await == Pending::Death {
                        return;
                    }
                }
            }
            Self::Close => {
                let dies = async {
                    sleep(GRACE).await;
                    if pending(thread).await != Pending::Death {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! { () = dies => {}, () = told(running, thread) => {} }
            }
            Self::Endless => std::future::pending().await,
        }
    }
}

/// Returns when a signal has come by which the call is to end.
async fn told(running: &mut Running, thread: u32) {
    running.interrupted().await;
    let end = Instant::now() + EVERYDAY_MAX;
    loop {
        sleep(GRACE).await;
        match pending(thread).await {
            Pending::Death | Pending::Signal => return,
            Pending::Everyday if Instant::now() >= end => return,
            // It was woken by something else, or another thread took the signal.
            Pending::Everyday | Pending::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use std::sync::Arc;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;
    use crate::session::device::scripted::{Answer, Kernel};
    use crate::session::under_way::UnderWay;

    const FOUND: &[u8] = b"found";

    fn answer(errno: i32, body: &[u8]) -> Answer {
        Answer { unique: 2, errno, body: body.to_vec() }
    }

    /// Work that opens something after a while.
    fn opening(after: Duration) -> Task {
        Task::opening(async move {
            let _later = timeout(after, future::pending::<()>()).await;
            Ok((FOUND.to_vec(), Opened::File(7)))
        })
    }

    /// Runs it with a signal for its caller before, or none; what is closed behind it.
    async fn closed(task: Task, is_interrupted: bool, reply: Reply) -> Option<Opened> {
        let all = UnderWay::default();
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
        let late = opening(2 * GRACE);
        assert_eq!(closed(late, true, reply()).await, Some(Opened::File(7)));
        assert_eq!(kernel.answer(), answer(Errno::INTR.raw_os_error(), b""));
        let refused = Task::opening(async { Err(Errno::ACCESS) });
        assert_eq!(closed(refused, false, reply()).await, None);
        assert_eq!(kernel.answer(), answer(Errno::ACCESS.raw_os_error(), b""));
        drop(kernel);
        let unheard = opening(GRACE);
        assert_eq!(closed(unheard, false, reply()).await, Some(Opened::File(7)));
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

    async fn ends(patience: Patience, interrupted: bool, thread: u32) -> bool {
        let all = UnderWay::default();
        let mut running = all.begin(2);
        if interrupted {
            all.interrupt(2);
        }
        timeout(Duration::from_secs(60), patience.end(&mut running, thread)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_a_call_after_a_while_and_nothing_else_does() {
        let begun = Instant::now();
        assert!(ends(Patience::Signal, true, 0).await);
        assert_eq!(begun.elapsed(), GRACE);
        assert!(!ends(Patience::Signal, false, 0).await);
        assert!(ends(Patience::Close, true, 0).await && !ends(Patience::Close, false, 0).await);
        assert!(!ends(Patience::Endless, true, 0).await);
        let alive = std::process::id();
        assert!(!ends(Patience::Signal, true, alive).await, "no signal waits");
        assert!(!ends(Patience::Death, true, alive).await, "it lives");
        assert!(!ends(Patience::Close, false, alive).await, "it lives");
    }

    #[test]
    fn only_what_opens_goes_on() {
        assert!(!Task::new(future::pending()).goes_on && Task::opening(future::pending()).goes_on);
    }
}
