//! How `emberfs umount` and `emberfs down` find this daemon, and hear what it still has to do.
//!
//! It listens at a socket without a file, in the abstract name space: that goes with the process, and never
//! lies. The name says the mount's device, as `/proc/self/mountinfo` has it, and the process.
//!
//! ```text
//!   @emberfs-mount/0:57/4711
//!     ◄ CLUSTER PATH                                     one line: the path as mountinfo has it
//!     ◄ mounted | writing WORDS | done | lost WORDS      one line now, and one at each change
//! ```
//! Without words, `writing` means that no file has anything left. `done` and `lost` are the last; the connection stands until the process is gone. Only root and this
//! process's user are answered: the words name files.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::session::MountPoint;

/// Who may listen at the same time (a count): a few commands of one operator.
const LISTENERS_MAX: usize = 16;
/// How long the last line may take to be sent: to a local socket's buffer.
const LAST_LINE_MAX: Duration = Duration::from_secs(1);
/// Before it accepts again, where it could not: descriptors may be used up.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What the daemon says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It serves.
    Mounted,
    /// It serves no more, and writes what is left; without words, takes its leave of the servers.
    Writing(String),
    /// All is written.
    Done,
    /// It ends, and something is lost.
    Lost(String),
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Presence {
    said: watch::Sender<Said>,
    accepting: Option<AbortHandle>,
}

impl Presence {
    /// Listens from now on. A mount that cannot be found works all the same, so that is only logged.
    pub(crate) fn start(cluster: &str, at: &MountPoint) -> Self {
        let said = watch::Sender::new(Said::Mounted);
        let Some((device, path)) = at.listed() else { return Self { said, accepting: None } };
        let name = format!("\0emberfs-mount/{device}/{}", std::process::id());
        let accepting = match UnixListener::bind(name) {
            Ok(listener) => {
                let accept = accept(listener, format!("{cluster} {path}\n"), said.subscribe());
                Some(tokio::spawn(accept).abort_handle())
            }
            Err(error) => {
                tracing::warn!(%error, "`emberfs umount` will not find this mount's daemon");
                None
            }
        };
        Self { said, accepting }
    }

    /// Says something to whoever listens.
    pub(crate) fn say(&self, said: Said) {
        self.said.send_if_modified(|now| {
            let new = *now != said;
            *now = said;
            new
        });
    }

    /// Says something for the last time, and that it is heard.
    pub(crate) async fn end(self, said: Said) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
        self.say(said);
        // Who does not listen now is no reason to stay.
        let _unheard = timeout(LAST_LINE_MAX, self.said.closed()).await;
    }
}

async fn accept(listener: UnixListener, first: String, said: watch::Receiver<Said>) {
    let (first, room) = (Arc::new(first), Arc::new(Semaphore::new(LISTENERS_MAX)));
    loop {
        let place = room.clone().acquire_owned().await.expect("it is never closed");
        match listener.accept().await {
            Ok((stream, _)) if may_listen(&stream) => {
                let (first, said) = (first.clone(), said.clone());
                tokio::spawn(async move {
                    // Who went away hears no more.
                    let _gone = tell(stream, &first, said).await;
                    drop(place);
                });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "a command that looks for this mount's daemon is not heard");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn may_listen(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| [0, ours].contains(&peer.uid()))
}

async fn tell(
    mut stream: UnixStream,
    first: &str,
    mut said: watch::Receiver<Said>,
) -> io::Result<()> {
    stream.write_all(first.as_bytes()).await?;
    let mut nothing = [0];
    loop {
        let now = said.borrow_and_update().clone();
        stream.write_all(format!("{now}\n").as_bytes()).await?;
        if matches!(now, Said::Done | Said::Lost(_)) {
            break;
        }
        tokio::select! {
            changed = said.changed() => if changed.is_err() { break },
            _ = stream.read(&mut nothing) => return Ok(()),
        }
    }
    drop(said);
    stream.read(&mut nothing).await.map(|_| ())
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, words) = match self {
            Self::Mounted => ("mounted", ""),
            Self::Writing(words) => ("writing", words.as_str()),
            Self::Done => ("done", ""),
            Self::Lost(words) => ("lost", words.as_str()),
        };
        let line = format!("{word} {words}").replace('\n', " ");
        f.write_str(line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_one_line() {
        let words = || "1 file\n2 bytes".to_owned();
        let all = [Said::Mounted, Said::Writing(words()), Said::Done, Said::Lost(words())];
        let lines = ["mounted", "writing 1 file 2 bytes", "done", "lost 1 file 2 bytes"];
        assert_eq!(all.map(|said| said.to_string()), lines);
        assert_eq!(Said::Writing(String::new()).to_string(), "writing");
    }
}
