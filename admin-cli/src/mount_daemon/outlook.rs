//! What a daemon waits for, and what will come of it: in words, with the next step.

use std::fmt;
use std::time::Duration;

use emberfs_client_fuse_mounts::{Said, Unwritten};

use super::{Daemon, Waiting};

impl Daemon {
    /// Whether it has said more than other reasons since it said what was `shown`: a line that changes all the time is
    /// not read.
    pub(super) fn has_news(&self, shown: &Option<Said>) -> bool {
        match (&self.said, shown) {
            (Some(Said::Writing(left)), Some(Said::Writing(before))) => !left.is_as(before),
            (said, shown) => said != shown,
        }
    }

    /// What it has not written, as it said last.
    fn unwritten(&self) -> Option<&Unwritten> {
        match &self.said {
            Some(Said::Writing(left)) if !left.is_nothing() => Some(left),
            _ => None,
        }
    }

    /// What it waits for, what somebody can do about that, and when it gives up.
    pub(super) fn outlook(&self, how: Waiting<'_>) -> String {
        let mut words = self.to_string();
        let Some(left) = self.unwritten() else { return words };
        if left.full > 0 {
            words.push_str(". The cluster has no space: delete files");
            if !how.gives_up {
                words.push_str(&format!(", or `{} --force` ({})", how.command, left.loss()));
            }
        }
        if let Some(end) = left.end() {
            words.push_str(&format!(". It {end}"));
        }
        words
    }

    /// The same where it was waited for long enough, by a command that gives nothing up.
    pub(super) fn in_vain(&self, again: &str) -> String {
        let how = Waiting { time: Duration::ZERO, gives_up: false, command: again };
        let (outlook, left) = (self.outlook(how), self.unwritten());
        let goes_on = match left.is_some_and(|left| left.end().is_some()) {
            true => "Until then it goes on",
            false => "It goes on, and loses nothing while it lives",
        };
        let force = match left.is_some_and(|left| left.full > 0) {
            true => String::new(),
            false => format!(", `{again} --force` gives up what is not written"),
        };
        format!("{outlook}. {goes_on}: `{again} --timeout SECONDS` waits for longer{force}")
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: its daemon (process {}) ", self.path, self.pid.as_raw_nonzero())?;
        match &self.said {
            None => f.write_str("does not answer"),
            Some(Said::Mounted) => {
                f.write_str("still serves: it is in use, or mounted elsewhere too")
            }
            Some(Said::Writing(left)) if left.is_nothing() => {
                f.write_str("has written all, and takes its leave")
            }
            Some(Said::Writing(left)) => write!(f, "still writes {left}"),
            Some(Said::Done) => f.write_str("has written all, and ends"),
            Some(Said::Lost(what)) => write!(f, "ends: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::super::tests::daemon;
    use super::*;

    /// What a daemon with these bytes left says, and what the command makes of it while it waits and in the end.
    async fn outlooks(said: &str, gives_up: bool) -> [String; 2] {
        let (stream, _other) = UnixStream::pair().expect("a pair");
        let mut daemon = daemon(rustix::process::getpid(), "/a", stream);
        daemon.hear(said);
        let how = Waiting { time: Duration::from_secs(30), gives_up, command: "emberfs umount /a" };
        [daemon.outlook(how), daemon.in_vain(how.command)]
    }

    #[tokio::test]
    async fn what_will_happen_is_said_with_the_next_step() {
        let [waits, in_vain] = outlooks("writing files=1 bytes=7 why=chain-1", false).await;
        assert!(waits.ends_with("still writes 1 file, 7 bytes: chain-1"), "{waits}");
        let step = ". It goes on, and loses nothing while it lives: `emberfs umount /a --timeout SECONDS` waits \
            for longer, `emberfs umount /a --force` gives up what is not written";
        assert!(in_vain.ends_with(step), "{in_vain}");

        let [waits, in_vain] = outlooks("writing files=2 bytes=7 deadline=5", false).await;
        let end = "7 bytes. It gives up once nothing gets on for 5 s (-o deadline): then 2 files lose what is \
            unwritten";
        assert!(waits.ends_with(end), "{waits}");
        assert!(in_vain.contains(end) && !in_vain.contains("loses nothing"), "{in_vain}");

        let full = "writing files=1 bytes=7 full=7 why=No space left on device";
        let [waits, in_vain] = outlooks(full, false).await;
        let step = ". The cluster has no space: delete files, or `emberfs umount /a --force` (loses 7 bytes of this \
            file)";
        assert!(waits.ends_with(step), "{waits}");
        assert_eq!(in_vain.matches("--force").count(), 1, "{in_vain}");
        let [gives_up, _] = outlooks(full, true).await;
        assert!(gives_up.ends_with("no space: delete files"), "{gives_up}");
    }

    #[tokio::test]
    async fn a_line_is_shown_anew_only_where_there_is_news() {
        let (stream, _other) = UnixStream::pair().expect("a pair");
        let mut daemon = daemon(rustix::process::getpid(), "/a", stream);
        daemon.hear("writing files=1 bytes=7 why=chain-1");
        let shown = daemon.said.clone();
        assert!(daemon.has_news(&None) && !daemon.has_news(&shown));
        daemon.hear("writing files=1 bytes=7 why=chain-2");
        assert!(!daemon.has_news(&shown), "another reason");
        daemon.hear("writing files=1 bytes=6 why=chain-2");
        assert!(daemon.has_news(&shown));
    }
}
