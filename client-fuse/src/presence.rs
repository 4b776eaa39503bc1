//! How `emberfs umount` and `emberfs down` find this daemon, and hear what it still has to do.
//!
//! It listens at a socket that every command can find; where, and what it says there, is described in
//! `client-fuse/mounts/src/socket.rs` and `said.rs`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use emberfs_client_fuse_mounts::{Said, socket};
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::session::MountPoint;

/// Who may listen at the same time (a count): a few commands of one operator.
const LISTENERS_MAX: usize = 16;
/// How long the last line may take to be sent: to a local socket's buffer.
const LAST_LINE_MAX: Duration = Duration::from_secs(1);
/// Before it accepts again, where it could not: descriptors may be used up.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The socket.
#[derive(Debug)]
pub(crate) struct Presence {
    said: watch::Sender<Said>,
}

impl Presence {
    /// Listens from now on. A mount that cannot be found works all the same, so that is only logged.
    pub(crate) fn start(cluster: &str, at: &MountPoint) -> Self {
        let presence = Self { said: watch::Sender::new(Said::Mounted) };
        let (device, path) = at.listed();
        match bind(&format!("\0{}", socket(device, std::process::id()))) {
            Ok(listener) => presence.listen(listener, format!("{cluster} {path}\n")),
            Err(error) => {
                tracing::warn!(%error, "`emberfs umount` will not find this mount's daemon");
            }
        }
        presence
    }

    fn listen(&self, listener: UnixListener, first: String) {
        tokio::spawn(listen(listener, first.into(), self.said.subscribe()));
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
        self.say(said);
        // Who does not listen now is no reason to stay.
        let _unheard = timeout(LAST_LINE_MAX, self.said.closed()).await;
    }
}

/// Anybody may have taken a name, by chance or in order to be believed.
fn bind(name: &str) -> io::Result<UnixListener> {
    match UnixListener::bind(name) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            tracing::warn!(
                "somebody else listens where `emberfs umount` looks for this mount's daemon"
            );
            let random = RandomState::new().build_hasher().finish();
            UnixListener::bind(format!("{name}/{random:016x}"))
        }
        bound => bound,
    }
}

/// Answers whoever connects before the last word is said.
async fn listen(listener: UnixListener, first: Arc<str>, said: watch::Receiver<Said>) {
    let mut end = said.clone();
    tokio::select! {
        // Nothing more will be said if it fails.
        _ = end.wait_for(Said::is_last) => {}
        () = accept(&listener, &first, &said) => {}
    }
    let last = match who_came(listener) {
        Ok(last) => last,
        Err(error) => return tracing::warn!(%error, "a command may not hear how this mount ended"),
    };
    for stream in last.into_iter().filter(may_listen) {
        // Who went away hears no more.
        let (first, said) = (first.clone(), said.clone());
        tokio::spawn(async move { tell(stream, &first, said).await });
    }
}

/// Answers some at a time, for ever.
async fn accept(listener: &UnixListener, first: &Arc<str>, said: &watch::Receiver<Said>) {
    let room = Arc::new(Semaphore::new(LISTENERS_MAX));
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

/// Lets nobody connect any more; those who have and were not accepted.
fn who_came(listener: UnixListener) -> io::Result<Vec<UnixStream>> {
    let listener = listener.into_std()?;
    // The kernel hands over those who wait, then nothing.
    shutdown(&listener, Shutdown::Read)?;
    let came = listener.incoming().map_while(Result::ok);
    came.map(|stream| stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream)))
        .collect()
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
        if now.is_last() {
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream as Stream};

    use emberfs_client_fuse_mounts::Unwritten;

    use super::*;

    /// A name that no other test takes.
    fn name(test: &str) -> String {
        format!("\0emberfs-presence-test/{test}/{}", std::process::id())
    }

    fn knock(name: &str) -> io::Result<BufReader<Stream>> {
        let address = SocketAddr::from_abstract_name(&name[1..])?;
        Stream::connect_addr(&address).map(BufReader::new)
    }

    /// What is said to it, up to this line.
    fn heard(stream: &mut BufReader<Stream>, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != last) {
            let mut line = String::new();
            let len = stream.read_line(&mut line).expect("it stands");
            assert!(len > 0, "it ended after {lines:?}");
            lines.push(line.trim_end().to_owned());
        }
        lines
    }

    /// More than are answered at a time, and nothing was accepted when the last word came.
    #[tokio::test]
    async fn whoever_connected_hears_the_end() {
        let name = name("end");
        let presence = Presence { said: watch::Sender::new(Said::Mounted) };
        presence.listen(bind(&name).expect("free"), "cluster /m\n".to_owned());
        let came: Vec<_> = (0..2 * LISTENERS_MAX).map(|_| knock(&name).expect("there")).collect();
        presence.end(Said::Done).await;
        for mut stream in came {
            assert_eq!(heard(&mut stream, "done"), ["cluster /m", "done"]);
        }
        let late = knock(&name).expect_err("it listens no more");
        assert_eq!(late.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_listener_hears_each_change() {
        let name = name("change");
        let presence = Presence { said: watch::Sender::new(Said::Mounted) };
        presence.listen(bind(&name).expect("free"), "cluster /m\n".to_owned());
        let mut stream = knock(&name).expect("there");
        assert_eq!(heard(&mut stream, "mounted"), ["cluster /m", "mounted"]);
        presence.say(Said::Writing(Unwritten { files: 1, ..Unwritten::default() }));
        let writing = "writing files=1 bytes=0";
        assert_eq!(heard(&mut stream, writing), [writing]);
        presence.end(Said::Lost("all".to_owned())).await;
        assert_eq!(heard(&mut stream, "lost all"), ["lost all"]);
    }

    #[tokio::test]
    async fn who_took_the_name_keeps_nobody_from_being_found() {
        let name = name("taken");
        let _taken = bind(&name).expect("free");
        let bound = bind(&name).expect("by another name");
        let address = bound.local_addr().expect("bound");
        let ours = format!("{}/", &name[1..]);
        let address = SocketAddr::from(address);
        let found = address.as_abstract_name().expect("without a file");
        assert!(found.starts_with(ours.as_bytes()) && found.len() > ours.len());
    }
}
