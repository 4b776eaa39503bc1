//! What a client is told when it connects.

use std::str::FromStr;
use std::time::Duration;

use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, ClusterId};
use emberfs_transport::{Address, AddressError, Limits};

use crate::credentials::Credentials;

/// Where a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterAddress {
    /// Which cluster is meant; `None`: whichever answers.
    pub cluster: Option<ClusterId>,
    /// Where its metadata servers listen: at least one.
    pub meta: Vec<Address>,
}

impl FromStr for ClusterAddress {
    type Err = AddressError;

    /// Of `host:port[,host:port]`, whichever cluster answers there.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let meta = text.split(',').map(|address| address.trim().parse());
        Ok(Self { cluster: None, meta: meta.collect::<Result<_, _>>()? })
    }
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long a call may take, all but [`File::write_behind`](crate::File::write_behind) and those of
    /// [`Meta::patient`](crate::Meta::patient); `None`: as long as it needs, with a line in the log.
    pub deadline: Option<Duration>,
    /// How long connecting and opening the session may take, where that is to be less; `None`: as `deadline`.
    pub connect_deadline: Option<Duration>,
    /// Memory for what comes from servers, at least [`Self::MEMORY_MIN`]. A read needs room for what is on its
    /// way only: 64 MiB keep a dozen servers busy.
    pub memory: ByteLen,
    /// What each connection may hold.
    pub limits: Limits,
    /// On whose behalf calls are made that say nothing else; `None`: this process's user.
    pub credentials: Option<Credentials>,
    /// What the client is, for people who look at the cluster's clients; by default its program and process.
    pub what: String,
}

impl ClientOptions {
    /// Below this no request of the usual size would fit.
    pub const MEMORY_MIN: ByteLen = ByteLen(16 << 20);

    /// Memory as one pool.
    pub(crate) fn pool(&self) -> Pool {
        Pool::new(self.memory.max(Self::MEMORY_MIN))
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            deadline: None,
            connect_deadline: None,
            memory: ByteLen(64 << 20),
            limits: Limits::default(),
            credentials: None,
            what: program(),
        }
    }
}

/// The program that this is, and its process: `train (process 4711)`.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{name} (process {})", std::process::id())
}
