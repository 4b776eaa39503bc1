//! A connection that is made again whenever it ends.
//!
//! [`Dial`] says whom to connect to and as whom; the driver (from [`Link::new`]) dials, runs the connection
//! until it ends, and dials again, after pauses that grow from 50 ms to 2 s, to half a second for members of the
//! metadata group. Jitter lengthens each by up to as much again, so that the peers of a server that comes back do not
//! all come at once. Where only an upgrade helps the pauses are longer, and the log says it once. Everybody else waits in
//! [`Link::peer`] for the connection that stands.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use emberfs_buffer::Pool;
use emberfs_wire::handshake::{Hello, Refusal, Welcome};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::address::Address;
use crate::call::Peer;
use crate::error::{Closed, HandshakeError};
use crate::handshake::connect;
use crate::limits::Limits;
use crate::network::Network;
use crate::serving::Handler;

/// The first pause, before jitter, which at most doubles it: a restarting server is back within some of these.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause, before jitter, which at most doubles it: how long after its return a server may stand unused is
/// 4 s.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The longest to one of a few servers on which all depend, before jitter too: 1 s after its return all have it again.
const SOON_PAUSE_MAX: Duration = Duration::from_millis(500);

/// The first and the longest pause while the peer speaks no version that this side does, before jitter too: nothing but
/// an upgrade helps, and thousands may ask.
const UPGRADE_PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

/// Whom to connect to, and as whom.
#[derive(Clone, Debug)]
pub struct Dial<N> {
    /// By which network.
    pub network: N,
    /// Where the peer listens.
    pub address: Address,
    /// What to say first.
    pub hello: Hello,
    /// Where its payloads land.
    pub pool: Pool,
    /// What the connection may hold.
    pub limits: Limits,
}

/// A handle on a connection that is made again whenever it ends; clones share it.
#[derive(Clone, Debug)]
pub struct Link {
    state: watch::Receiver<LinkState>,
}

/// How a link stands.
#[derive(Clone, Debug)]
pub enum LinkState {
    /// Connected.
    Up {
        /// By this handle.
        peer: Peer,
        /// What the peer said of itself.
        welcome: Welcome,
    },
    /// Not connected; dialling goes on.
    Down {
        /// What the last try said; `None` before the first has ended.
        why: Option<String>,
    },
}

impl Link {
    /// A link, and the driver that keeps it: to be spawned by the caller, ended by dropping it.
    pub fn new<N: Network, H: Handler + Clone>(
        dial: Dial<N>,
        handler: H,
    ) -> (Self, impl Future<Output = ()>) {
        Self::within(dial, handler, PAUSE_MAX)
    }

    /// The same, to a member of the metadata group: the pauses grow to half a second.
    pub fn to_member<N: Network, H: Handler + Clone>(
        dial: Dial<N>,
        handler: H,
    ) -> (Self, impl Future<Output = ()>) {
        Self::within(dial, handler, SOON_PAUSE_MAX)
    }

    fn within<N: Network, H: Handler + Clone>(
        dial: Dial<N>,
        handler: H,
        pause_max: Duration,
    ) -> (Self, impl Future<Output = ()>) {
        let (tell, state) = watch::channel(LinkState::Down { why: None });
        (Self { state }, drive(dial, handler, tell, pause_max))
    }

    /// How it stands now.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.state.borrow().clone()
    }

    /// The peer, as soon as a connection stands; `None` if the driver has ended.
    pub async fn peer(&self) -> Option<(Peer, Welcome)> {
        let mut state = self.state.clone();
        let up = state.wait_for(|state| matches!(state, LinkState::Up { .. })).await.ok()?;
        match &*up {
            LinkState::Up { peer, welcome } => Some((peer.clone(), welcome.clone())),
            LinkState::Down { .. } => None,
        }
    }
}

async fn drive<N: Network, H: Handler + Clone>(
    dial: Dial<N>,
    handler: H,
    tell: watch::Sender<LinkState>,
    pause_max: Duration,
) {
    let usual = pauses(PAUSE_MIN, pause_max);
    let (first, longest) = UPGRADE_PAUSES;
    let upgrade = pauses(first, longest);
    let (mut pause, mut upgrade_pause) = (usual.build(), upgrade.build());
    let mut said = String::new();
    loop {
        let start = Instant::now();
        let ended = dial_once(&dial, handler.clone(), &tell).await;
        let address = &dial.address;
        let why = match &ended {
            Ok(closed) => closed.to_string(),
            Err(HandshakeError::Refused(refusal)) => format!("{address} refuses: {refusal}"),
            Err(error) => error.to_string(),
        };
        match &ended {
            Err(HandshakeError::Refused(refusal)) if said != why => {
                tracing::warn!(%address, %refusal, "refused");
            }
            _ => tracing::debug!(%address, %why, "not connected"),
        }
        said.clone_from(&why);
        tell.send_replace(LinkState::Down { why: Some(why) });
        if matches!(ended, Err(HandshakeError::Refused(Refusal::NoCommonProtocol { .. }))) {
            sleep(upgrade_pause.next().unwrap_or(longest)).await;
            continue;
        }
        upgrade_pause = upgrade.build();
        // A peer that accepts and closes at once is not hammered: only a connection that has lasted
        // starts the pauses afresh.
        if start.elapsed() > pause_max {
            pause = usual.build();
        }
        sleep(pause.next().unwrap_or(pause_max)).await;
    }
}

fn pauses(first: Duration, longest: Duration) -> ExponentialBuilder {
    let pauses = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest);
    pauses.with_jitter().without_max_times()
}

/// Connects and runs the connection to its end; why it ended or never began.
async fn dial_once<N: Network, H: Handler>(
    dial: &Dial<N>,
    handler: H,
    tell: &watch::Sender<LinkState>,
) -> Result<Closed, HandshakeError> {
    let Dial { network, address, hello, pool, limits } = dial;
    let (connection, welcome) = connect(network, address, hello, pool, *limits).await?;
    let peer = connection.peer();
    tell.send_replace(LinkState::Up { peer, welcome });
    Ok(connection.run(handler).await)
}
