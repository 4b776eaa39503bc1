//! One member, put together: its directory, its place in the group, its listener, and the leader's work
//! while it leads.
//!
//! ```text
//!   Server ─┬─ Held: the directory's identity and lock
//!           ├─ Group: the replicated state
//!           ├─ listen: connections ── Service ──► Leader, if there is one here
//!           └─ lead: watches the group; makes a Leader when this member leads, ends it when not
//! ```

mod leading;
mod listener;

use std::net::SocketAddr;

use emberfs_daemon::listen::{self, ListenError};
use emberfs_daemon::{DirectoryKind, Held, IdentityError, formatting, identity, sync_point};
use emberfs_layout::{BootNumber, ClusterId, NodeId};
use emberfs_meta_server_consensus::{ConfigError, MemberId};
use emberfs_wire::handshake::{Identity, Role};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::group::{Group, GroupError, GroupOptions, Metadata};
use crate::service::Service;
use crate::store::{self, OpenError, StoreOptions, Syncs};
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
    /// Its stores do not open.
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

impl Server {
    /// Takes the directory into use, joins the group and listens.
    ///
    /// # Errors
    /// [`ServerError`]; nothing runs then.
    pub async fn start(config: &Config) -> Result<Self, ServerError> {
        let cluster = identity::read(&config.directory)?.cluster;
        let directory = Held::open(&config.directory, DirectoryKind::Meta, cluster)?;
        let node = directory.identity().node;
        if node != Some(config.node()) {
            let found = node.map_or_else(|| "no member".to_owned(), |node| node.to_string());
            return Err(ServerError::OtherNode { found, expected: config.node() });
        }
        let boot = Some(BootNumber(rand::random()));
        let identity =
            Identity { cluster: Some(cluster), role: Role::Meta, node, boot, client: None };
        let beyond = config.listen_beyond_loopback_without_authentication;
        let listeners = listen::bind(&config.listen, beyond)?;
        let addresses =
            listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let stores = store::open(&StoreOptions {
            dir: config.directory.clone(),
            member: MemberId(u64::from(config.node)),
            syncs: Syncs::without_named(sync_point::skipped().as_deref()),
        })?;
        let group = Group::start(stores, Metadata, GroupOptions::default())?;
        let (tell, leader) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(leading::lead(group.clone(), identity, config.lease_term(), tell));
        let reception = Reception { identity, service: Service::new(leader) };
        tasks.spawn(listener::listen(listeners, reception));
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

    /// Takes no more requests, ends the leader's work, leaves the group in order. All that was answered
    /// is durable before; this makes the next start a clean one.
    ///
    /// # Errors
    /// [`ServerError::Failed`] if the group had failed, or its state cannot be flushed.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        self.tasks.shutdown().await;
        self.group.stop().await?;
        tracing::info!("metadata member stopped");
        Ok(())
    }
}
