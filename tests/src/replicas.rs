//! Files read from each server for itself, in clusters where every server has a replica of every chunk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use emberfs_buffer::Pool;
use emberfs_client::{Attributes, Bytes, Client, RoutingTable};
use emberfs_layout::{ByteLen, ChunkId, ChunkIndex, ChunkOffset, ChunkVersion, NodeId};
use emberfs_transport::{Address, CallOptions, Limits, NoService, Peer, Tcp, connect};
use emberfs_wire::Capability;
use emberfs_wire::chunk::{ChunkRead, ReadChunks, ReadOutcome};
use emberfs_wire::handshake::{Hello, Identity, Role};
use emberfs_wire::protocol::{Features, ProtocolRange};
use tokio::task::JoinHandle;

/// Memory for what comes back, in bytes.
const MEMORY: ByteLen = ByteLen(64 << 20);

/// A server may hang for so long, and its connection stands.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Connections to all storage servers.
pub struct Replicas {
    routing: Arc<RoutingTable>,
    peers: BTreeMap<NodeId, Peer>,
}

impl Replicas {
    /// Connects as a client would, with the routing that `client` has.
    pub async fn connect(client: &Client) -> Self {
        let routing = client.routing();
        let mut peers = BTreeMap::new();
        for node in routing.nodes() {
            let address: Address = node.addresses[0].parse().expect("an address");
            let hello = Hello {
                protocol: ProtocolRange::OURS,
                features: Features::OURS,
                identity: Identity {
                    cluster: Some(client.cluster()),
                    role: Role::Client,
                    node: None,
                    boot: None,
                    client: Some(client.session()),
                },
                expected_role: Role::Storage,
                expected_node: Some(node.id),
                shard: None,
            };
            let pool = Pool::new(MEMORY);
            let limits = Limits { silence_max: SILENCE_MAX, ..Limits::default() };
            let met = connect(&Tcp, &address, &hello, &pool, limits).await;
            let (connection, _) = met.expect("it is up");
            peers.insert(node.id, connection.peer());
            tokio::spawn(connection.run(NoService));
        }
        Self { routing, peers }
    }

    /// A file's bytes, once from each server; holes in front of some are zeros.
    pub async fn read(&self, of: &Attributes) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for node in self.routing.nodes() {
            let held: &mut Vec<u8> = found.entry(node.name.clone()).or_default();
            for (at, bytes) in self.ask(of, &node.name) {
                assert!(held.len() as u64 <= at, "no chunk is longer than it may be");
                held.resize(at as usize, 0);
                held.extend(bytes.await.expect("not aborted").expect("it serves"));
            }
        }
        found
    }

    /// Asks a server for each chunk of a file that it has; where in the file that is, and its bytes when the
    /// answer comes. What it does not serve has none.
    pub fn ask(&self, of: &Attributes, server: &str) -> Vec<(u64, JoinHandle<Option<Vec<u8>>>)> {
        let asked = self.reads(of, server).into_iter().map(|(at, peer, read)| {
            (at, tokio::spawn(async move { chunk(&peer, read).await.map(|(_, bytes)| bytes) }))
        });
        asked.collect()
    }

    /// How often each chunk of a file that a server has was written.
    pub async fn versions(&self, of: &Attributes, server: &str) -> Vec<ChunkVersion> {
        let mut versions = Vec::new();
        for (_, peer, read) in self.reads(of, server) {
            versions.push(chunk(&peer, read).await.expect("it serves").0);
        }
        versions
    }

    /// Where in a file each chunk is that a server serves, whom to ask, and what.
    fn reads(&self, of: &Attributes, server: &str) -> Vec<(u64, Peer, ChunkRead)> {
        let data = of.data.expect("a file");
        let stripe = self.routing.stripe(data.layout).expect("known chains");
        let size = u64::from(data.layout.chunk_size.bytes());
        let asked = (0..of.size.get().div_ceil(size)).map(|index| {
            let index = ChunkIndex(u32::try_from(index).expect("few chunks"));
            let serving = self.routing.serving(stripe.chain_of(index)).expect("known");
            let home = |target| self.routing.home(target).expect("known");
            let mine = serving.filter(move |replica| home(replica.target).name == server);
            let chunk = ChunkId::new(data.id, index);
            let (start, len) = (ChunkOffset(0), ChunkOffset(data.layout.chunk_size.bytes()));
            mine.map(move |replica| ChunkRead { replica, chunk, start, len })
                .map(move |read| (u64::from(index.0) * size, read))
        });
        let asked = asked.flatten().map(|(at, read)| {
            let home = self.routing.home(read.replica.target).expect("known").id;
            (at, self.peers[&home].clone(), read)
        });
        asked.collect()
    }
}

/// A chunk as a replica has it, and its version; `None` if it does not serve it.
async fn chunk(peer: &Peer, read: ChunkRead) -> Option<(ChunkVersion, Vec<u8>)> {
    let request = ReadChunks { capability: Capability::default(), reads: vec![read] };
    let reply = peer.call(&request, Bytes::new(), &CallOptions::default()).await.ok()?;
    match &reply.message.outcomes[0] {
        ReadOutcome::Found { version, data, .. } => {
            let checked = data.bind(reply.payload).expect("as described").check();
            Some((*version, checked.expect("the sums of the bytes").bytes().to_vec()))
        }
        ReadOutcome::Absent => Some((ChunkVersion::default(), Vec::new())),
        ReadOutcome::Failed(_) => None,
    }
}
