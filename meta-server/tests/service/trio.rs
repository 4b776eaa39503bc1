//! A group of three members in this process, each with a directory of its own, and cables between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, ClusterId};
use emberfs_meta_server::group::GroupOptions;
use emberfs_meta_server::{Config, Server, format};
use emberfs_transport::{CallOptions, Limits, NoService, Peer, Tcp, connect};
use emberfs_wire::group::{GetMember, GetMemberReply};
use emberfs_wire::handshake::Role;
use tempfile::TempDir;

use crate::cable::Cable;
use crate::finder::Finder;
use crate::member::{LEASE_MS, PATIENCE, hello, until};

/// How many members.
pub(crate) const COUNT: usize = 3;

/// Three members; each is named by its place, from 0.
pub(crate) struct Trio {
    pub(crate) cluster: ClusterId,
    options: GroupOptions,
    configs: Vec<Config>,
    servers: Vec<Option<Server>>,
    /// By from and to.
    cables: BTreeMap<(usize, usize), Cable>,
    _directory: TempDir,
}

/// Places on loopback where nobody else listens: each process and each group has addresses of its own.
pub(crate) fn places() -> Vec<SocketAddr> {
    static GROUPS: AtomicU8 = AtomicU8::new(0);
    let group = GROUPS.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let place = |port| SocketAddr::from(([127, high | 0x80, low, group], port));
    (7001..).take(COUNT).map(place).collect()
}

impl Trio {
    /// A new group, all of it running.
    pub(crate) async fn new(options: GroupOptions) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let places = places();
        let mut cables = BTreeMap::new();
        for (from, to) in (0..COUNT * COUNT).map(|pair| (pair / COUNT, pair % COUNT)) {
            cables.insert((from, to), Cable::new(places[to]).await);
        }
        let config = |at: usize| {
            let by = |to| cables[&(at, to)].address.to_string().parse().expect("an address");
            Config {
                directory: directory.path().join(format!("meta-{}", at + 1)),
                listen: vec![places[at]],
                listen_beyond_loopback_without_authentication: false,
                members: (0..COUNT).map(by).collect(),
                node: u32::try_from(at + 1).expect("few"),
                storage_lease_ms: LEASE_MS,
                metrics: None,
                log: Default::default(),
            }
        };
        let configs: Vec<_> = (0..COUNT).map(config).collect();
        let cluster = format(&configs[0], None).expect("an empty directory");
        for config in &configs[1..] {
            assert_eq!(format(config, Some(cluster)).expect("an empty directory"), cluster);
        }
        let servers = (0..COUNT).map(|_| None).collect();
        let mut trio = Self { cluster, options, configs, servers, cables, _directory: directory };
        for at in 0..COUNT {
            trio.start(at).await;
        }
        trio
    }

    pub(crate) async fn start(&mut self, at: usize) {
        let server = Server::start_with(&self.configs[at], self.options).await;
        self.servers[at] = Some(server.unwrap_or_else(|error| panic!("as it was left: {error}")));
    }

    /// Stops one as an operator would.
    pub(crate) async fn stop(&mut self, at: usize) {
        self.servers[at].take().expect("it runs").stop().await.expect("a clean stop");
    }

    /// Takes the state away from one that is stopped.
    pub(crate) fn lose_state(&self, at: usize) {
        let state = self.configs[at].directory.join("state");
        std::fs::remove_dir_all(state).expect("it was there");
    }

    /// Leaves one that runs no place for a state of another: a file stands where its folder would.
    pub(crate) fn hinder_states(&self, at: usize) {
        std::fs::write(self.configs[at].directory.join("incoming"), "").expect("a file");
    }

    /// Ends that.
    pub(crate) fn mend_states(&self, at: usize) {
        std::fs::remove_file(self.configs[at].directory.join("incoming")).expect("it was there");
    }

    /// Makes the directory of one that is stopped anew.
    pub(crate) fn format_anew(&self, at: usize) {
        let config = &self.configs[at];
        std::fs::remove_dir_all(&config.directory).expect("it was there");
        format(config, Some(self.cluster)).expect("an empty directory");
    }

    /// Ends one without a word to the others.
    pub(crate) async fn kill(&mut self, at: usize) {
        self.isolate(at);
        self.stop(at).await;
        self.join(at);
    }

    /// Cuts one off from the others.
    pub(crate) fn isolate(&self, at: usize) {
        self.cables_of(at).for_each(Cable::cut);
    }

    /// Ends that.
    pub(crate) fn join(&self, at: usize) {
        self.cables_of(at).for_each(Cable::mend);
    }

    fn cables_of(&self, at: usize) -> impl Iterator<Item = &Cable> {
        let touches = move |&(from, to): &(usize, usize)| from == at || to == at;
        self.cables.iter().filter(move |(ends, _)| touches(ends)).map(|(_, cable)| cable)
    }

    /// Those that run.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..COUNT).filter(|&at| self.servers[at].is_some()).collect()
    }

    /// A connection to one, past all cables.
    pub(crate) async fn peer(&self, at: usize) -> Peer {
        let address = self.place(at).to_string().parse().expect("an address");
        let hello = hello(Some(self.cluster), Role::Client);
        let pool = Pool::new(ByteLen::ZERO);
        let met = connect(&Tcp, &address, &hello, &pool, Limits::default()).await;
        let (connection, _) = met.expect("welcome");
        let peer = connection.peer();
        tokio::spawn(connection.run(NoService));
        peer
    }

    /// Where one listens.
    pub(crate) fn place(&self, at: usize) -> SocketAddr {
        self.configs[at].listen[0]
    }

    /// Someone who asks whichever leads.
    pub(crate) fn finder(&self) -> Finder {
        self.finder_of(0..COUNT)
    }

    /// The same, who knows of these alone.
    pub(crate) fn finder_of(&self, who: impl IntoIterator<Item = usize>) -> Finder {
        let places = who.into_iter().map(|at| (at, self.place(at)));
        Finder::new(self.cluster, places.collect())
    }

    /// How one stands, in its own words.
    pub(crate) async fn standing(&self, at: usize) -> GetMemberReply {
        let options = CallOptions { wait: Some(PATIENCE), ..CallOptions::default() };
        let peer = self.peer(at).await;
        let reply = peer.call(&GetMember {}, Bytes::new(), &options).await;
        // Who waits for something asks thousands of times.
        peer.close();
        reply.expect("an answer").message
    }

    /// Waits until all of `who` agree on one of them that leads; gives it and its term.
    pub(crate) async fn leader(&self, who: &[usize]) -> (usize, GetMemberReply) {
        until(async || {
            let first = self.standing(*who.first()?).await;
            let leader = usize::try_from(first.leader?.get()).ok()? - 1;
            // They may not know yet that it is gone.
            who.contains(&leader).then_some(())?;
            for &at in who {
                let standing = self.standing(at).await;
                if standing.leader != first.leader || standing.term != first.term {
                    return None;
                }
            }
            let standing = self.standing(leader).await;
            (standing.leader == first.leader).then_some((leader, standing))
        })
        .await
    }

    /// Waits until `at` has taken in all that `from` has.
    pub(crate) async fn caught_up(&self, at: usize, from: usize) -> GetMemberReply {
        let goal = self.standing(from).await.applied;
        until(async || Some(self.standing(at).await).filter(|standing| standing.applied >= goal))
            .await
    }
}
