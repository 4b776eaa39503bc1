//! How long a call is waited for by who made it.
//!
//! Signals by which nobody wants a call to end, those of timers say, end one only when it has taken longer than it takes
//! a cluster to do without a server: most programs that have a handler for these take EINTR for a failure. So do signals
//! of which nothing is known: of a caller that this process does not see, in another container say.
//!
//! A process is not told of a signal while it ends: it closes its files, and takes none any more. So `close` looks for
//! itself whether its caller is being killed, which has one moment for all of its files ([`Dying`]). Whoever *exits by
//! itself* with bytes that no server has waits for the servers, as in `close`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::dying::Dying;
use crate::session::interrupts::Running;
use crate::session::signals::{Pending, pending};

/// How long a call may take after a signal before it ends: no quick call ends without having been done, and whoever is
/// killed is gone within a second. So often it is asked what signals wait.
pub(super) const GRACE: Duration = Duration::from_millis(200);
/// The same where only signals wait by which nobody wants it to end: beyond a dead server and a dead leader at once.
pub(super) const EVERYDAY_MAX: Duration = Duration::from_secs(10);

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

/// Who waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiter {
    /// The calling thread; 0 where it is not seen from here.
    pub(super) thread: u32,
    /// Those of the mount that are at their end.
    pub(super) dying: Dying,
}

impl Patience {
    /// Returns when it is at its end.
    pub(super) async fn end(self, running: &mut Running, waiter: &Waiter) {
        match self {
            Self::Signal => told(running, waiter.thread).await,
            Self::Death => {
                running.interrupted().await;
                loop {
                    sleep(GRACE).await;
                    if waiter.dies().await {
                        return;
                    }
                }
            }
            Self::Close => {
                tokio::select! { () = waiter.closes_dead() => {}, () = told(running, waiter.thread) => {} }
            }
            Self::Endless => std::future::pending().await,
        }
    }
}

impl Waiter {
    async fn dies(&self) -> bool {
        pending(self.thread).await == Pending::Death
    }

    /// Returns if it closes a file as it is being killed, and has had its moment.
    async fn closes_dead(&self) {
        if self.dying.has(self.thread) && self.dies().await {
            return;
        }
        sleep(GRACE).await;
        if !self.dies().await {
            std::future::pending::<()>().await;
        }
        self.dying.enter(self.thread);
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
            Pending::Everyday | Pending::Unknown if Instant::now() >= end => return,
            // It was woken by something else, or another thread took the signal.
            Pending::Everyday | Pending::Unknown | Pending::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use tokio::time::timeout;

    use super::*;
    use crate::session::interrupts::Interrupts;

    async fn ends(patience: Patience, interrupted: bool, waiter: &Waiter) -> bool {
        let all = Interrupts::default();
        let mut running = all.begin(2);
        if interrupted {
            all.interrupt(2);
        }
        timeout(Duration::from_secs(60), patience.end(&mut running, waiter)).await.is_ok()
    }

    fn waiter(thread: u32) -> Waiter {
        Waiter { thread, ..Waiter::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn who_lives_waits_until_a_signal() {
        let alive = waiter(std::process::id());
        assert!(!ends(Patience::Signal, true, &alive).await, "no signal waits");
        assert!(!ends(Patience::Death, true, &alive).await, "it lives");
        assert!(!ends(Patience::Close, false, &alive).await, "it lives");
        assert!(!ends(Patience::Endless, true, &alive).await);
    }

    /// In another container: what signal came nobody knows, and most that come mean no harm.
    #[tokio::test(start_paused = true)]
    async fn who_is_not_seen_waits_as_for_a_timer_and_for_changes_to_the_end() {
        let unseen = waiter(0);
        for patience in [Patience::Signal, Patience::Close] {
            let begun = Instant::now();
            assert!(ends(patience, true, &unseen).await);
            assert_eq!(begun.elapsed(), EVERYDAY_MAX);
            assert!(!ends(patience, false, &unseen).await);
        }
        assert!(!ends(Patience::Death, true, &unseen).await, "a change is never told to be undone");
    }

    /// Killed, and not waited for by its parent: all that is left of it says so.
    struct Killed(Child);

    impl Killed {
        fn new() -> Self {
            let mut child =
                Command::new("cat").stdin(Stdio::piped()).spawn().expect("a program of any system");
            child.kill().expect("it is a child");
            let stat = format!("/proc/{}/stat", child.id());
            let is_gone = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "));
            while !is_gone() {
                std::thread::yield_now();
            }
            Self(child)
        }
    }

    impl Drop for Killed {
        fn drop(&mut self) {
            let _ended = self.0.wait();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_killed_has_one_moment_for_all_of_its_files() {
        let killed = Killed::new();
        let (waiter, begun) = (waiter(killed.0.id()), Instant::now());
        for _ in 0..100 {
            assert!(ends(Patience::Close, false, &waiter).await);
        }
        assert_eq!(begun.elapsed(), GRACE);
        let another = Killed::new();
        let (another, begun) = (Waiter { thread: another.0.id(), ..waiter }, Instant::now());
        assert!(ends(Patience::Close, false, &another).await);
        assert_eq!(begun.elapsed(), GRACE);
    }
}
