//! A cluster without a session: what an operator asks and orders.

use std::sync::Arc;
use std::time::Duration;

use emberfs_client_session::RoutingTable;
use emberfs_layout::{ClientId, ClusterId};
use emberfs_transport::NoService;
use emberfs_wire::cluster::{
    AdminOrder, Administer, AdministerReply, ClientStatus, GetClients, GetRouting, GetStatus,
    GetStatusReply,
};
use emberfs_wire::meta::EndSession;

use crate::error::ClientError;
use crate::group::MetaLinks;
use crate::links::Dialling;
use crate::options::{ClientOptions, ClusterAddress};
use crate::patience::Patience;
use crate::routes::Routes;
use crate::standing::MemberAnswer;

/// A connection to a cluster's metadata group.
#[derive(Debug)]
pub struct Cluster {
    id: ClusterId,
    meta: MetaLinks,
    routes: Routes,
    options: ClientOptions,
}

impl Cluster {
    /// Connects, and learns the routing. Must be called within a Tokio runtime, as all async functions.
    ///
    /// # Errors
    /// [`ClientError::Deadline`] if none of the addresses answers, or another cluster does, within
    /// [`ClientOptions::deadline`].
    pub async fn connect(
        address: &ClusterAddress,
        options: &ClientOptions,
    ) -> Result<Self, ClientError> {
        let dialling = Dialling::new(address.cluster, options);
        let meta = MetaLinks::new(&dialling, &address.meta, &NoService);
        let mut patience = Patience::new(options.deadline);
        let routes = Routes::default();
        routes.refresh(routes.now().version(), &meta, &mut patience).await?;
        let since = routes.now().version();
        let id = meta.call(&GetRouting { since }, &mut patience).await?.cluster;
        meta.learn_if_alone().await;
        Ok(Self { id, meta, routes, options: options.clone() })
    }

    /// Which cluster it is.
    #[must_use]
    pub fn id(&self) -> ClusterId {
        self.id
    }

    /// The nodes, disks, chains and tables, asked anew.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn routing(&self) -> Result<Arc<RoutingTable>, ClientError> {
        let mut patience = Patience::new(self.options.deadline);
        let seen = self.routes.now().version();
        self.routes.refresh(seen, &self.meta, &mut patience).await?;
        Ok(self.routes.now())
    }

    /// How the servers stand.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<GetStatusReply, ClientError> {
        let mut patience = Patience::new(self.options.deadline);
        self.meta.call(&GetStatus {}, &mut patience).await
    }

    /// How each member of the metadata group stands, those too that do not lead: see [`members`](crate::members).
    pub async fn members(&self, wait: Duration) -> Vec<MemberAnswer> {
        let answers = self.meta.ask_each(wait).await.into_iter();
        answers.map(|(address, answer)| MemberAnswer { address, answer }).collect()
    }

    /// The clients whose sessions live, by number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn clients(&self) -> Result<Vec<ClientStatus>, ClientError> {
        let mut patience = Patience::new(self.options.deadline);
        let mut clients: Vec<ClientStatus> = Vec::new();
        loop {
            let after = clients.last().map_or(ClientId(0), |last| last.client);
            let page = self.meta.call(&GetClients { after }, &mut patience).await?;
            let ended = !page.more || page.clients.is_empty();
            clients.extend(page.clients);
            if ended {
                return Ok(clients);
            }
        }
    }

    /// Ends a client's session now, as if it had been silent for too long; nothing happens if it has none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn evict(&self, client: ClientId) -> Result<(), ClientError> {
        let mut patience = Patience::new(self.options.deadline);
        self.meta.call(&EndSession { client }, &mut patience).await.map(|_| ())
    }

    /// Gives an operator's order, once, however often it must be sent.
    ///
    /// # Errors
    /// [`ClientError`]; that the order cannot be carried out is a reply.
    pub async fn administer(&self, order: AdminOrder) -> Result<AdministerReply, ClientError> {
        let mut patience = Patience::new(self.options.deadline);
        let order = Administer { order_id: rand::random(), order };
        self.meta.call(&order, &mut patience).await
    }

    /// What a client goes on with.
    pub(crate) fn into_parts(self) -> (ClusterId, MetaLinks, Routes) {
        (self.id, self.meta, self.routes)
    }
}
