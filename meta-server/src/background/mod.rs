//! What a leader does beside answering, and what it remembers while it leads.
//!
//! ```text
//!   lead ──► Leader ─┬─ chains     changes of members, by the transition table
//!                    ├─ expiry     sessions that were silent for too long
//!                    ├─ files      truncations and lengths: a job a file
//!                    ├─ garbage    chunks of removed files
//!                    ├─ leases     the lease of storage servers is recorded as short as it is
//!                    ├─ telling    sessions hear of new routing
//!                    └─ clients, servers    what was heard of them; gone with the leader
//! ```
//!
//! All of it is resumed by the next leader from the replicated state. The work ends when the group says
//! that this member leads no more; nothing here goes on after [`Leader::end`].

mod chains;
mod clients;
pub(crate) mod expiry;
mod files;
mod garbage;
mod jobs;
mod leases;
mod meters;
mod servers;
mod telling;

use std::sync::Arc;

use emberfs_chain_replication::membership::LeaseTerm;
use emberfs_layout::{ClientId, ClusterId, InodeId, RoutingVersion, Sequence};
use emberfs_meta_server_state::{Body, Outcome, cluster_id, sessions};
use emberfs_wire::cluster::WantedMark;
use emberfs_wire::handshake::Identity;
use emberfs_wire::meta::OpenSession;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::chunks::Chunks;
use crate::group::{Group, GroupError};
use clients::Clients;
use jobs::Jobs;
use meters::LeaderMeters;
use servers::Servers;

/// What the session of a leader says it is: by this the next leader finds and ends it.
const LEADER: &str = "metadata leader";
/// Sessions on one page of the list (a count), read in the caller's task.
const SESSIONS_PAGE: usize = 1024;

/// A member that leads, for one term.
pub(crate) struct Leader {
    /// The replicated state.
    pub(crate) group: Group,
    /// Who this member is.
    pub(crate) identity: Identity,
    /// What was heard of sessions.
    pub(crate) clients: Clients,
    /// What was heard of storage servers.
    pub(crate) servers: Servers,
    leases: leases::Shortened,
    chunks: Arc<Chunks>,
    /// The session under which chunks are changed.
    own: ClientId,
    /// When servers have confirmed the sessions that ended up to here, nothing of earlier leaders can come.
    earlier: Sequence,
    settling: Jobs<InodeId>,
    /// The routing's version, as last looked at.
    routing: watch::Sender<RoutingVersion>,
    meters: LeaderMeters,
}

impl Leader {
    /// Takes over: founds the cluster if there is none yet, ends the sessions of earlier leaders, opens
    /// one. `group` is a handle in the term of this leader, `began` is when this member was known to lead, `term` the
    /// lease that it grants by: servers are waited for as long, and for as long as leaders before granted by.
    ///
    /// # Errors
    /// [`GroupError`] if it leads no more, or cannot go on.
    pub(crate) async fn begin(
        group: Group,
        identity: Identity,
        term: LeaseTerm,
        began: Instant,
    ) -> Result<Arc<Self>, GroupError> {
        found(&group, &identity).await?;
        let before = group.read(|view| leases::longest_granted(view)).await?;
        let longest = before.filter(|before| before.ms() > term.ms()).unwrap_or(term);
        let own = take_over(&group, &identity, longest).await?;
        let earlier = group.read(|view| sessions::last_ended(view)).await?;
        let chunks = Chunks::new(group.clone(), identity, own);
        Ok(Arc::new(Self {
            group,
            identity,
            clients: Clients::default(),
            servers: Servers::new(began, term, longest),
            leases: leases::Shortened { began, own: term, longest },
            chunks: Arc::new(chunks),
            own,
            earlier,
            settling: Jobs::new(),
            routing: watch::Sender::new(RoutingVersion::NONE),
            meters: LeaderMeters::new(),
        }))
    }

    /// Does a leader's work, until a part of it cannot go on.
    pub(crate) async fn work(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        tasks.spawn(chains::run(self.clone()));
        tasks.spawn(expiry::run(self.clone()));
        tasks.spawn(garbage::run(self.clone()));
        tasks.spawn(files::run(self.clone()));
        tasks.spawn(telling::run(self.clone()));
        tasks.spawn(leases::run(self.clone()));
        // A part that panicked has been logged; then too the next leader begins with all of it.
        if let Some(Ok(Err(lost))) = tasks.join_next().await {
            tracing::info!(%lost, "a leader's work ended");
        }
    }

    /// Its cluster.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.identity.cluster.expect("a member knows its cluster")
    }

    /// Whether a session is this leader's own.
    pub(crate) fn is_own(&self, client: ClientId) -> bool {
        client == self.own
    }

    /// Marks of sessions, its own among them, as far as they are known; for [`news`](emberfs_meta_server_state::cluster::news), which says what they
    /// are taken before.
    pub(crate) fn low_waters(&self, wanted: &[WantedMark]) -> Vec<(WantedMark, Sequence)> {
        let mark = |wanted: &WantedMark| match *wanted {
            WantedMark { client, chain } if client == self.own => {
                Some((*wanted, self.chunks.low_water(chain)))
            }
            wanted => Some((wanted, self.clients.low_water(wanted)?)),
        };
        wanted.iter().filter_map(mark).collect()
    }

    /// Ends what goes on for this leader.
    pub(crate) fn end(&self) {
        self.servers.end();
        self.settling.end();
        self.meters.end();
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`GroupError`].
    pub(crate) async fn end_session(&self, client: ClientId) -> Result<(), GroupError> {
        self.group.propose(Body::EndSession(client)).await?;
        self.clients.forget(client);
        Ok(())
    }
}

/// Makes the root directory of a new cluster; it belongs to the user who runs its first leader. Whoever leads next finds
/// it: a leader has applied all that earlier ones committed, and what they did not commit is gone.
async fn found(group: &Group, identity: &Identity) -> Result<(), GroupError> {
    let cluster = identity.cluster.expect("a member knows its cluster");
    if let Some(founded) = group.read(|view| cluster_id(view)).await? {
        assert_eq!(founded, cluster, "the directory's identity is not its state's");
        return Ok(());
    }
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    group.propose(Body::Found { cluster, uid, gid }).await?;
    tracing::info!(%cluster, uid, gid, "founded the cluster");
    Ok(())
}

/// Ends the sessions of earlier leaders, opens one and records the longest lease that is or may be granted, all in one;
/// gives the session.
async fn take_over(
    group: &Group,
    identity: &Identity,
    longest: LeaseTerm,
) -> Result<ClientId, GroupError> {
    let earlier = earlier(group).await?;
    let node = identity.node.expect("a member knows its number");
    let own =
        OpenSession { start: rand::random(), host: node.to_string(), what: LEADER.to_owned() };
    match group.propose(Body::Lead { earlier, own, lease_ms: longest.ms() }).await? {
        Outcome::SessionOpened(reply) => Ok(reply.client),
        other => unreachable!("a session is opened, not {other:?}"),
    }
}

/// The sessions of earlier leaders.
async fn earlier(group: &Group) -> Result<Vec<ClientId>, GroupError> {
    let (mut found, mut after) = (Vec::new(), ClientId(0));
    loop {
        let page = group.read(|view| sessions::list(view, after, SESSIONS_PAGE)).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.client;
        let leaders = page.iter().filter(|session| session.what == LEADER);
        found.extend(leaders.map(|session| session.client));
    }
}
