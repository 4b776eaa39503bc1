//! The client: one session with one cluster, shared by all handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use emberfs_client_session::RoutingTable;
use emberfs_layout::{ClientId, ClusterId};
use emberfs_wire::meta::{HandleId, Mode};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::asked::Asked;
use crate::cluster::Cluster;
use crate::credentials::{Credentials, Process};
use crate::error::ClientError;
use crate::fs::Fs;
use crate::held::Held;
use crate::keeper::{Keeper, Opener};
use crate::links::Dialling;
use crate::meta::Meta;
use crate::options::{ClientOptions, ClusterAddress};
use crate::patience::Patience;
use crate::routes::Routes;
use crate::session::{Session, Standing};

/// A cluster's file system, as one session sees it. Clones share the session.
///
/// Everything in the background ends with the last clone and the last open file, at most half a minute
/// later if writes of that file still go on. [`Self::close`] says good-bye and waits for the answer.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

/// What all handles share.
#[derive(Debug)]
pub(crate) struct Inner {
    cluster: ClusterId,
    pub(crate) options: ClientOptions,
    pub(crate) routes: Arc<Routes>,
    pub(crate) held: Held,
    pub(crate) runtime: Handle,
    pub(crate) umask: Mode,
    credentials: Credentials,
    keeper: Keeper,
    /// The task that renews the session.
    renewal: AbortHandle,
    handles: AtomicU64,
}

impl Client {
    /// Connects to a cluster and opens a session. Must be called within a Tokio runtime, as all async
    /// functions; the runtime must outlive the client.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn connect(
        address: &ClusterAddress,
        options: &ClientOptions,
    ) -> Result<Self, ClientError> {
        let deadline = options.connect_deadline.or(options.deadline);
        let connecting = ClientOptions { deadline, ..options.clone() };
        let cluster = Cluster::connect(address, &connecting).await?;
        let (id, first, routes) = cluster.into_parts();
        let (process, held, runtime) = (Process::this(), Held::default(), Handle::current());
        let dialling = Dialling::new(Some(id), options);
        let what = options.what.clone();
        let routes = Arc::new(routes);
        let asked = Asked { held: held.clone(), routes: routes.clone() };
        let opener = Opener { dialling, asked, what };
        let keeper = Keeper::new(opener, &first, &mut Patience::new(deadline)).await?;
        let inner = Inner {
            cluster: id,
            options: options.clone(),
            routes,
            held,
            umask: process.umask,
            credentials: options.credentials.clone().unwrap_or(process.credentials),
            renewal: runtime.spawn(keeper.clone().run()).abort_handle(),
            keeper,
            runtime,
            handles: AtomicU64::new(1),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Which cluster it is.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.inner.cluster
    }

    /// Which session it is now.
    #[must_use]
    pub fn session(&self) -> ClientId {
        self.inner.keeper.now().client
    }

    /// How many requests this session sent to the metadata group, tries and renewals among them.
    #[must_use]
    pub fn metadata_requests(&self) -> u64 {
        self.inner.keeper.now().meta.requests()
    }

    /// The routing that the client goes by now.
    #[must_use]
    pub fn routing(&self) -> Arc<RoutingTable> {
        self.inner.routes.now()
    }

    /// Files and directories by path, on behalf of [`ClientOptions::credentials`].
    #[must_use]
    pub fn fs(&self) -> Fs {
        Fs::new(self.meta(self.inner.credentials.clone()))
    }

    /// Files and directories by inode and name, on behalf of somebody.
    #[must_use]
    pub fn meta(&self, credentials: Credentials) -> Meta {
        Meta::new(self.inner.clone(), credentials)
    }

    /// Ends the session. Files are to be closed before: what those still open did not report is left for
    /// the metadata group to find out.
    ///
    /// # Errors
    /// [`ClientError`]; the session ends by itself then, some time later.
    pub async fn close(&self) -> Result<(), ClientError> {
        let session = self.inner.keeper.now();
        let said = session.say_end(&mut self.inner.patience()).await;
        session.end(Standing::Closed);
        said
    }
}

impl Inner {
    /// The live session; waits for one while a lost one is being replaced.
    pub(crate) async fn session(
        &self,
        patience: &mut Patience,
    ) -> Result<Arc<Session>, ClientError> {
        self.keeper.live(patience).await
    }

    /// The patience of a call that begins now.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.options.deadline)
    }

    /// A handle's name, never used before by this client.
    pub(crate) fn handle(&self) -> HandleId {
        HandleId(self.handles.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.renewal.abort();
        self.keeper.part();
    }
}
