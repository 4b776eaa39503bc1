//! The end of a mount: all that is gathered is written; meanwhile it says what that waits for.
//!
//! It takes as long as it takes, unless the user said otherwise: a second signal, or no byte got on for as
//! long as `-o deadline` allows. Then what is left is lost, and named.

use std::pin::pin;
use std::time::{Duration, Instant};

use emberfs_client_fuse_mounts::{Said, Unwritten};
use emberfs_daemon::shutdown::Shutdown;
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};

use crate::adapter::{Adapter, Left};
use crate::notice::tell;
use crate::presence::Presence;

/// Before this nobody wonders.
const FIRST_LINE: Duration = Duration::from_secs(2);
/// After the first line, and twice as long after each, up to the last.
const NEXT_LINE: Duration = Duration::from_secs(10);
/// Between lines at most: often enough for who looks into the log.
const LAST_LINES: Duration = Duration::from_secs(60);
/// How often is looked at what is left.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// It ended before all was written.
#[derive(Debug, Error)]
#[error("{why} before all was written; lost: {}", left.names())]
pub struct Lost {
    why: String,
    left: Left,
}

/// What it takes to end.
#[derive(Debug)]
pub(crate) struct Closing<'a> {
    /// Whose files.
    pub(crate) adapter: &'a Adapter,
    /// Who hears what is left.
    pub(crate) presence: &'a Presence,
    /// A signal that it heeds.
    pub(crate) shutdown: &'a mut Shutdown,
    /// Whether one asked it to end: the next is the second.
    pub(crate) asked: bool,
    /// For how long nothing need get on before it gives up; `None`: as long as it takes.
    pub(crate) deadline: Option<Duration>,
    /// Whether people read standard error and not the log.
    pub(crate) aloud: bool,
}

impl Lost {
    /// Whether bytes are: the lengths of files are found out without us.
    pub(crate) fn has_bytes(&self) -> bool {
        self.left.bytes().get() > 0
    }

    /// Files whose attributes may have been changed, or be changed still: who asked for it has heard as much.
    pub(crate) fn changing(&self) -> String {
        self.left.changing()
    }
}

impl Closing<'_> {
    /// Writes and closes all.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) async fn run(mut self) -> Result<(), Lost> {
        let adapter = self.adapter;
        let mut closed = pin!(adapter.close_all());
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut left, mut moved) = (adapter.left(), Instant::now());
        let (mut next_line, mut pause) = (moved + FIRST_LINE, NEXT_LINE);
        loop {
            tokio::select! {
                biased;
                () = &mut closed => {
                    self.presence.say(Said::Writing(Unwritten::default()));
                    return Ok(());
                }
                signal = self.shutdown.requested() => self.hear(signal)?,
                _ = look.tick() => {}
            }
            let (before, now) = (left, Instant::now());
            left = adapter.left();
            if left.is_less_than(&before) {
                moved = now;
            }
            let unwritten = left.unwritten(self.deadline);
            let end = unwritten.end();
            // That nothing is left is said when all is closed: as long as it is not, something may come.
            if !unwritten.is_nothing() {
                self.presence.say(Said::Writing(unwritten));
            }
            if let Some(deadline) = self.deadline.filter(|deadline| now - moved >= *deadline) {
                return Err(self.lost(format!("nothing got on for {} s", deadline.as_secs_f32())));
            }
            if now >= next_line {
                let what = match left.to_string() {
                    nothing if nothing.is_empty() => {
                        "all is written, and files are closed".to_owned()
                    }
                    left => format!("still writing {left}"),
                };
                let end = end.map_or_else(String::new, |end| format!("; {end}"));
                tell(&format!("{what}{end}; a second signal gives it up at once"), self.aloud);
                next_line = now + pause;
                pause = LAST_LINES.min(2 * pause);
            }
        }
    }

    /// The first signal asks for what goes on already.
    fn hear(&mut self, signal: &str) -> Result<(), Lost> {
        if self.asked {
            return Err(self.lost(format!("told to give up ({signal})")));
        }
        self.asked = true;
        let words = format!("{signal}: ends when all is written; a second signal gives it up");
        tell(&words, self.aloud);
        Ok(())
    }

    fn lost(&self, why: String) -> Lost {
        Lost { why, left: self.adapter.left() }
    }
}
