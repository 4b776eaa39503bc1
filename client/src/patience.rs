//! How long a call waits, and what it says meanwhile.
//!
//! Without a deadline a call waits for ever; after two seconds, and every ten from then on, one line of
//! the log says for what.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::{ClientError, WaitingFor};

/// Before this nobody wonders.
const FIRST_LINE: Duration = Duration::from_secs(2);
/// Often enough that a tail of the log shows it.
const NEXT_LINES: Duration = Duration::from_secs(10);

/// The patience of one call; its parts that run side by side have clones.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    began: Instant,
    deadline: Option<Instant>,
    next_line: Instant,
}

impl Patience {
    /// Of a call that begins now.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        let began = Instant::now();
        let deadline = limit.and_then(|limit| began.checked_add(limit));
        Self { began, deadline, next_line: began + FIRST_LINE }
    }

    /// Waits for `future`; `what` says for what, when it is asked. A large future is best pinned before: it is moved, and
    /// has its room twice.
    pub(crate) async fn wait<T>(
        &mut self,
        what: impl Fn() -> WaitingFor,
        future: impl Future<Output = T>,
    ) -> Result<T, ClientError> {
        let mut future = std::pin::pin!(future);
        loop {
            let until = self.deadline.map_or(self.next_line, |at| at.min(self.next_line));
            match timeout_at(until, future.as_mut()).await {
                Ok(done) => return Ok(done),
                Err(_) => self.say(&what)?,
            }
        }
    }

    /// Waits for what has a patience of its own and speaks for itself.
    pub(crate) async fn wait_quietly<T>(
        &mut self,
        what: impl Fn() -> WaitingFor,
        future: impl Future<Output = T>,
    ) -> Result<T, ClientError> {
        match self.deadline {
            None => Ok(future.await),
            Some(at) => {
                let done = timeout_at(at, future).await;
                done.map_err(|_| ClientError::Deadline { what: what() })
            }
        }
    }

    /// Pauses before the next try.
    pub(crate) async fn pause(
        &mut self,
        what: impl Fn() -> WaitingFor,
        pause: Duration,
    ) -> Result<(), ClientError> {
        let over = Instant::now() + pause;
        self.wait(&what, sleep_until(over)).await?;
        // Tries that fail at once, without a pause, have a deadline too.
        self.say(&what)
    }

    /// Whether the time is over; says what is waited for where it is due.
    fn say(&mut self, what: &impl Fn() -> WaitingFor) -> Result<(), ClientError> {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(ClientError::Deadline { what: what() });
        }
        if self.next_line <= now {
            let waited = now - self.began;
            tracing::warn!(waited_s = waited.as_secs(), waiting_for = %what(), "still waiting");
            self.next_line = now + NEXT_LINES;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::timeout;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Keeps the warnings.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    /// The fields of one event.
    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0 += &format!("{field}={value:?} ");
        }
    }

    impl Subscriber for Log {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::WARN
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn event(&self, event: &Event<'_>) {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().expect("no panic").push(line.0);
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_deadline_the_log_says_what_is_waited_for() {
        let log = Log::default();
        // While there is one dispatcher only, a thread that has none and comes to a line of the log first
        // turns it off for all: a second one makes `tracing` ask every dispatcher.
        let _second = tracing::Dispatch::new(Log::default());
        let _here = tracing::subscriber::set_default(log.clone());
        let what = || WaitingFor::MetadataGroup { last: "connection refused".to_owned() };
        let mut patience = Patience::new(None);
        let minute = timeout(Duration::from_secs(60), std::future::pending::<()>());
        let over = patience.wait(what, minute).await.expect("no deadline");
        assert!(over.is_err(), "nothing else ends it");
        let lines = log.0.lock().expect("no panic").clone();
        assert_eq!(lines.len(), 6, "after 2 s, and every 10: {lines:#?}");
        assert!(lines[1].contains("waited_s=12"), "{}", lines[1]);
        assert!(lines[1].contains("the metadata servers (connection refused)"), "{}", lines[1]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_any_wait_and_names_it() {
        let what = || WaitingFor::Slot;
        let mut patience = Patience::new(Some(Duration::from_secs(30)));
        let began = Instant::now();
        let error = patience.wait(what, std::future::pending::<()>()).await;
        assert_eq!(error, Err(ClientError::Deadline { what: what() }));
        assert_eq!(began.elapsed().as_secs(), 30);
        assert!(patience.pause(what, Duration::ZERO).await.is_err(), "over is over");
        let mut endless = Patience::new(None);
        assert_eq!(endless.pause(what, Duration::from_secs(3600)).await, Ok(()));
    }
}
