//! What the leader remembers of storage servers beside their records: their leases, and what each last
//! reported. It is gone with the leader; a new one takes every server for one that may still serve until a
//! whole lease after its own beginning.
//!
//! [`Heard`] has the rules; here are its clock and its lock. Whether members are there and who is held back are
//! decided under one lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use emberfs_chain_replication::membership::{Change, Edition, Heard, LeaseTerm, Life, Place};
use emberfs_chain_replication::target::Millis;
use emberfs_layout::{ChainId, NodeId, Sequence};
use emberfs_meta_server_state::cluster::{PlacedChain, PlacedMember};
use emberfs_wire::cluster::{Heartbeat, NodeStatus};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long to wait at most for a heartbeat before servers are looked at again: one of them may have been
/// lost, and nothing comes that says so.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The storage servers that were heard of.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Of a clock that may stand still while the machine sleeps: `Leases` says why.
    began: Instant,
    heard: Mutex<Heard>,
    /// Nothing is granted any more: another leader counts from its own beginning.
    ended: AtomicBool,
    /// Told when a heartbeat says something else than the one before.
    news: watch::Sender<()>,
}

/// Hears what servers say, also while nobody waits for it.
pub(crate) struct Listening(watch::Receiver<()>);

impl Listening {
    /// Waits until a server has said something new since the last call, or for a moment.
    pub(crate) async fn news(&mut self) {
        // Too late is as good as in time: the caller looks at everything again.
        let _in_time = timeout(LOOK_AGAIN, self.0.changed()).await;
    }
}

impl Servers {
    /// None was heard of since `began`. Grants by `term`, and leaders before granted by `earlier` at most.
    pub(crate) fn new(began: Instant, term: LeaseTerm, earlier: LeaseTerm) -> Self {
        Self {
            began,
            heard: Mutex::new(Heard::new(Millis(0), term).after(earlier)),
            ended: AtomicBool::new(false),
            news: watch::Sender::new(()),
        }
    }

    /// To be taken before the routing of an answer is read.
    pub(crate) fn edition(&self) -> Edition {
        self.lock().edition()
    }

    /// Notes that a heartbeat is answered; says how long a lease the answer grants, in milliseconds (0:
    /// none), or `None` if its routing is to be read again. `informed`: as [`Heard::answer`] has it.
    pub(crate) fn answer(&self, said: &Heartbeat, informed: bool, edition: Edition) -> Option<u32> {
        let mut heard = self.lock();
        if self.ended.load(Ordering::SeqCst) {
            return Some(0);
        }
        let answered = heard.answer(said, informed, edition, self.now())?;
        if answered.news {
            self.news.send_replace(());
        }
        Some(answered.lease_ms)
    }

    /// Grants nothing any more.
    pub(crate) fn end(&self) {
        // Under the lock: whoever is answered before is answered before the next leader begins.
        let _heard = self.lock();
        self.ended.store(true, Ordering::SeqCst);
    }

    /// What a chain is to become, if anything. Servers whose members it takes out of service get no lease
    /// from now on, until [`Self::applied`].
    pub(crate) fn decide(&self, placed: &PlacedChain) -> Option<Change> {
        let place =
            |&PlacedMember { node, boot, granted }: &PlacedMember| Place { node, boot, granted };
        let places: Vec<Place> = placed.places.iter().map(place).collect();
        let mut heard = self.lock();
        heard.decide(&placed.chain, &places, self.now())
    }

    /// The change that [`Self::decide`] made is applied, or had no effect.
    pub(crate) fn applied(&self, chain: ChainId) {
        self.lock().applied(chain);
    }

    /// Whether a server may serve, as far as this leader knows.
    pub(crate) fn may_serve(&self, node: NodeId) -> bool {
        self.lock().leases().life(node, self.now()) != Life::Lapsed
    }

    /// After how long without a heartbeat a server is taken for gone, in milliseconds.
    pub(crate) fn lease_ms(&self) -> u32 {
        self.lock().leases().counted(self.now()).ms()
    }

    /// Up to where a server has confirmed the list of ended sessions.
    pub(crate) fn confirmed(&self, node: NodeId) -> Sequence {
        self.lock().said(node).map_or(Sequence::NONE, |said| said.ended)
    }

    /// How a server stands.
    pub(crate) fn status(&self, node: NodeId) -> NodeStatus {
        let heard = self.lock();
        let ago = heard.leases().answered_ms_ago(node, self.now());
        let said = heard.said(node);
        NodeStatus {
            node,
            heard_ms_ago: ago.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)),
            disks: said.map_or_else(Vec::new, |said| said.disks.clone()),
            targets: said.map_or_else(Vec::new, |said| said.targets.clone()),
            load: said.and_then(|said| said.load),
        }
    }

    /// Waits until each of these was heard of; no longer after the beginning than one that lives keeps silent. Whether it
    /// had to wait.
    pub(crate) async fn first_heard(&self, mut nodes: Vec<NodeId>) -> bool {
        let mut listening = self.listen();
        let mut waited = false;
        loop {
            {
                let (heard, now) = (self.lock(), self.now());
                nodes.retain(|node| heard.leases().answered_ms_ago(*node, now).is_none());
                if nodes.is_empty() || now.0 >= u64::from(heard.leases().counted(now).granted_ms())
                {
                    return waited;
                }
            }
            listening.news().await;
            waited = true;
        }
    }

    /// Whoever acts on what servers say begins to listen before it looks.
    pub(crate) fn listen(&self) -> Listening {
        Listening(self.news.subscribe())
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        // No code under the lock panics half-way through an update.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_layout::{BootNumber, RoutingVersion};

    fn heartbeat() -> Heartbeat {
        Heartbeat {
            node: NodeId(1),
            boot: BootNumber(1),
            targets: Vec::new(),
            disks: Vec::new(),
            routing: RoutingVersion(1),
            ended: Sequence::NONE,
            marks_wanted: Vec::new(),
            load: None,
        }
    }

    /// Its lease is far longer than any test.
    #[tokio::test]
    async fn a_leader_that_has_begun_waits_for_those_that_it_knows() {
        let term = LeaseTerm::new(1 << 30).expect("long enough");
        let servers = Servers::new(Instant::now(), term, term);
        assert!(!servers.first_heard(Vec::new()).await, "there is nobody to wait for");
        let mut waits = Box::pin(servers.first_heard(vec![NodeId(1)]));
        tokio::select! {
            biased;
            _ = &mut waits => panic!("it was not heard"),
            () = std::future::ready(()) => {}
        }
        assert!(servers.answer(&heartbeat(), true, servers.edition()).is_some());
        assert!(waits.await);
        assert!(!servers.first_heard(vec![NodeId(1)]).await, "it was heard");
    }

    #[tokio::test]
    async fn news_that_come_while_nobody_waits_are_heard_at_the_next_wait() {
        let term = LeaseTerm::new(3_000).expect("long enough");
        let servers = Servers::new(Instant::now(), term, term);
        let mut listening = servers.listen();
        let first = heartbeat();
        let answered = servers.answer(&first, true, servers.edition());
        assert!(answered.is_some());
        tokio::select! {
            biased;
            () = listening.news() => {}
            () = std::future::ready(()) => panic!("it would wait for the next news"),
        }
    }
}
