//! A way from one member to another that can be cut: what goes through it stops at once, and comes nowhere.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Leads to one address.
pub(crate) struct Cable {
    pub(crate) address: SocketAddr,
    whole: watch::Sender<bool>,
    _carrying: JoinSet<()>,
}

impl Cable {
    /// A whole one to `to`, which need not listen yet.
    pub(crate) async fn new(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let (whole, watched) = watch::channel(true);
        let mut carrying = JoinSet::new();
        carrying.spawn(carry(listener, to, watched));
        Self { address, whole, _carrying: carrying }
    }

    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(listener: TcpListener, to: SocketAddr, whole: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut from, _) = listener.accept().await.expect("a socket");
        let mut whole = whole.clone();
        connections.spawn(async move {
            if !*whole.borrow_and_update() {
                return;
            }
            let Ok(mut to) = TcpStream::connect(to).await else { return };
            tokio::select! {
                _ended = copy_bidirectional(&mut from, &mut to) => {}
                _cut = whole.wait_for(|whole| !whole) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
