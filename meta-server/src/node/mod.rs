//! One member, put together: its directory, its place in the group, its listener, and the leader's work
//! while it leads.
//!
//! ```text
//!   Server ─┬─ Held: the directory's identity and lock
//!           ├─ Group: the replicated state
//!           ├─ links: what the group has to say to the other members
//!           ├─ listen: connections ── Service ──► Leader, if there is one here
//!           └─ lead: watches the group; makes a Leader when this member leads, ends it when not
//! ```

mod leading;
mod links;
mod listener;
mod load;

use std::net::SocketAddr;

use emberfs_daemon::listen::{self, ListenError};
use emberfs_daemon::{DirectoryKind, Held, IdentityError, formatting, identity, sync_point};
use emberfs_layout::{BootNumber, ClusterId, NodeId};
use emberfs_meta_server_consensus::{ConfigError, Index};
use emberfs_wire::handshake::{Identity, Role};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::group::{Group, GroupError, GroupOptions, Metadata, Post, links as ways};
use crate::service::{Service, Surroundings};
use crate::store::{self, Loss, OpenError, StoreOptions, Syncs};
use listener::Reception;

/// A running member.
pub struct Server {
    identity: Identity,
    addresses: Vec<SocketAddr>,
    group: Group,
    tasks: JoinSet<()>,
    _directory: Held,
}

/// Why a member does not run, or did not end well.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Its directory is not in order.
    #[error(transparent)]
    Directory(#[from] IdentityError),
    /// Its directory is another member's.
    #[error("the directory belongs to {found}, the configuration says {expected}")]
    OtherNode {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: NodeId,
    },
    /// Its stores do not open, or are of another member or group.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Its stores do not fit each other.
    #[error(transparent)]
    Group(#[from] ConfigError),
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The group failed.
    #[error(transparent)]
    Failed(#[from] GroupError),
}

/// Makes the configured directory that of a new member: of `cluster`, or of a new cluster. Returns which.
///
/// # Errors
/// [`ServerError::Directory`] if it is not empty, is formatted already or cannot be written.
pub fn format(config: &Config, cluster: Option<ClusterId>) -> Result<ClusterId, ServerError> {
    Ok(Held::format(&config.directory, new_member(config, cluster))?.identity().cluster)
}

fn new_member(config: &Config, cluster: Option<ClusterId>) -> emberfs_daemon::Identity {
    let cluster = cluster.unwrap_or_else(|| ClusterId(rand::random()));
    let (kind, node) = (DirectoryKind::Meta, Some(config.node()));
    emberfs_daemon::Identity { kind, cluster, node, disk: None }
}

/// The cluster whose member the configured directory is: that which is there, else a new member is made, as
/// by [`format()`].
///
/// # Errors
/// [`ServerError`] if the directory is something else's.
pub fn ensure_formatted(
    config: &Config,
    cluster: Option<ClusterId>,
) -> Result<ClusterId, ServerError> {
    let new = new_member(config, cluster);
    let ours = |found: &emberfs_daemon::Identity| {
        (found.kind, found.node) == (new.kind, new.node)
            && cluster.is_none_or(|cluster| cluster == found.cluster)
    };
    Ok(formatting::ensure(&config.directory, ours, new)?.cluster)
}

/// Lets the configured member, which is stopped, vote by what its log has left, if entries up to `to` are what it has lost;
/// says what it has lost. Changes that no other member has are lost then, though they were acknowledged.
///
/// # Errors
/// [`ServerError`]; nothing was changed then.
pub fn accept_loss(config: &Config, to: Option<Index>) -> Result<Loss, ServerError> {
    let (_directory, _) = held(config)?;
    Ok(store::accept_loss(&store_options(config), to)?)
}

/// The configured directory, taken into use, and whose it is.
fn held(config: &Config) -> Result<(Held, ClusterId), ServerError> {
    let cluster = identity::read(&config.directory)?.cluster;
    let directory = Held::open(&config.directory, DirectoryKind::Meta, cluster)?;
    let node = directory.identity().node;
    if node != Some(config.node()) {
        let found = node.map_or_else(|| "no member".to_owned(), |node| node.to_string());
        return Err(ServerError::OtherNode { found, expected: config.node() });
    }
    Ok((directory, cluster))
}

fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        dir: config.directory.clone(),
        member: config.member(),
        members: config.member_count(),
        syncs: Syncs::without_named(sync_point::skipped().as_deref()),
    }
}

impl Server {
    /// Takes the directory into use, joins the group and listens.
    ///
    /// # Errors
    /// [`ServerError`]; nothing runs then.
    pub async fn start(config: &Config) -> Result<Self, ServerError> {
        Self::start_with(config, GroupOptions::default()).await
    }

    /// The same, with other limits: for tests.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn start_with(config: &Config, options: GroupOptions) -> Result<Self, ServerError> {
        let (directory, cluster) = held(config)?;
        let node = directory.identity().node;
        let boot = Some(BootNumber(rand::random()));
        let identity =
            Identity { cluster: Some(cluster), role: Role::Meta, node, boot, client: None };
        let beyond = config.listen_beyond_loopback_without_authentication;
        let listeners = listen::bind(&config.listen, beyond)?;
        let addresses: Vec<_> =
            listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let stores = store::open(&store_options(config))?;
        let others = config.others();
        let (post, parcels) = Post::new(others.iter().map(|(member, _)| *member));
        let group = Group::start(stores, Metadata, options, post)?;
        let mut tasks = JoinSet::new();
        let links = links::dial(&others, identity, &mut tasks);
        for (member, parcels) in parcels {
            let link = links[&member].clone();
            tasks.spawn(ways::carry(group.clone(), member, parcels, link));
        }
        let (tell, leader) = watch::channel(None);
        tasks.spawn(leading::lead(group.clone(), identity, config.lease_term(), tell));
        let members = match &config.members[..] {
            [] => addresses.iter().take(1).map(ToString::to_string).collect(),
            members => members.iter().map(ToString::to_string).collect(),
        };
        let (tell_load, load) = watch::channel(None);
        tasks.spawn(load::watch(tell_load));
        let member = config.member();
        let surroundings = Surroundings { cluster, member, members, links, load };
        let service = Service::new(leader, group.clone(), surroundings);
        let reception = Reception::new(identity, service);
        listener::listen(listeners, &reception, &mut tasks);
        tracing::info!(%cluster, node = config.node, ?addresses, "metadata member started");
        Ok(Self { identity, addresses, group, tasks, _directory: directory })
    }

    /// Its cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.identity.cluster.expect("set at the start")
    }

    /// Where it listens, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until its place in the group is lost for good: [`Self::stop`] then says why.
    pub async fn ended(&self) {
        // How is for `stop` to say.
        let _how = self.group.ended().await;
    }

    /// Lets another member lead, takes no more requests, leaves the group in order. All that was answered
    /// is durable before; this leaves nothing to apply again at the next start.
    ///
    /// # Errors
    /// [`ServerError::Failed`] if the group had failed, or its state cannot be flushed.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        // The others must be able to answer the one that takes over, and this one to vote.
        self.group.hand_over().await;
        self.tasks.shutdown().await;
        self.group.stop().await?;
        tracing::info!("metadata member stopped");
        Ok(())
    }
}
