//! Finding the cluster that a command is about, and connecting to it.

use std::time::Duration;

use anyhow::{Result, bail};
use emberfs_client::{Client, ClientOptions, Cluster, ClusterAddress, Directory, DirectoryError};

use crate::args::Named;

/// How long an operator's question may take where nothing else is said: he would rather know.
const OPERATOR_DEADLINE: Duration = Duration::from_secs(10);

/// How long one metadata member may take to be reached, and again to say how it stands, at most.
pub(crate) const MEMBER_WAIT: Duration = Duration::from_secs(2);

/// Which cluster, and how long to wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// A name or addresses; `None`: by environment or as the only one.
    pub(crate) cluster: Option<String>,
    /// Who named it.
    pub(crate) named: Named,
    /// What the user said of waiting.
    pub(crate) timeout: Option<Duration>,
}

impl Connection {
    /// Where the cluster is.
    pub(crate) fn address(&self) -> Result<ClusterAddress> {
        let directory = Directory::of_user()?;
        match directory.find(self.cluster.as_deref()) {
            Err(DirectoryError::Unnamed { path, known }) => {
                let which = "which cluster? Say --cluster NAME or --cluster HOST:PORT, or set EMBERFS_CLUSTER";
                let file = path.display();
                match directory.list()?.is_empty() {
                    true => {
                        bail!("{which}; {file} knows none. `emberfs up` makes one on this machine")
                    }
                    false => bail!("{which}; known in {file}: {known}"),
                }
            }
            found => Ok(found?),
        }
    }

    /// How long a question may take.
    pub(crate) fn patience(&self) -> Duration {
        self.timeout.unwrap_or(OPERATOR_DEADLINE)
    }

    /// How long a question to one metadata member may take.
    pub(crate) fn question(&self) -> Duration {
        self.patience().min(MEMBER_WAIT)
    }

    /// Connects to ask and order.
    pub(crate) async fn cluster(&self) -> Result<Cluster> {
        let deadline = Some(self.patience());
        let options = ClientOptions { deadline, ..ClientOptions::default() };
        Ok(Cluster::connect(&self.address()?, &options).await?)
    }

    /// The same, but a session is waited for no longer than an answer to a question.
    pub(crate) async fn client_soon(&self) -> Result<Client> {
        let connect_deadline = Some(self.patience());
        let options =
            ClientOptions { deadline: self.timeout, connect_deadline, ..ClientOptions::default() };
        Ok(Client::connect(&self.address()?, &options).await?)
    }

    /// Connects to reach files; without a timeout, calls wait as long as they must.
    pub(crate) async fn client(&self) -> Result<Client> {
        let options = ClientOptions { deadline: self.timeout, ..ClientOptions::default() };
        Ok(Client::connect(&self.address()?, &options).await?)
    }
}
