//! Sockets that a server listens on.
//!
//! Until peers prove who they are, whoever reaches a port may read and change everything. So a server
//! listens on loopback, and elsewhere only if its operator says so by a key that names the danger.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

use crate::holder;

/// Connections that may wait to be accepted (a count): a burst of clients that come back.
const BACKLOG: u32 = 1024;

/// Why a server does not listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address can be reached from elsewhere.
    #[error(
        "listen: {address} can be reached from other machines, and there is no authentication yet: \
         whoever reaches it may read and change everything. Use a loopback address, or set \
         `listen_beyond_loopback_without_authentication = true`"
    )]
    BeyondLoopback {
        /// Which address.
        address: SocketAddr,
    },
    /// The port is taken.
    #[error("listen: {address} is taken{}: stop what holds it, or choose another port", by(.holder))]
    Taken {
        /// Which address.
        address: SocketAddr,
        /// Who holds it, if that can be seen: process number and name.
        holder: Option<String>,
    },
    /// The system refused.
    #[error("listen: {address}: {source}")]
    Refused {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

fn by(holder: &Option<String>) -> String {
    holder.as_ref().map_or_else(String::new, |holder| format!(" by {holder}"))
}

/// Listens on each of `addresses`.
///
/// # Errors
/// [`ListenError`] for the first address that cannot be had.
pub fn bind(
    addresses: &[SocketAddr],
    beyond_loopback: bool,
) -> Result<Vec<TcpListener>, ListenError> {
    let bind = |address: &SocketAddr| {
        let address = *address;
        if !address.ip().is_loopback() && !beyond_loopback {
            return Err(ListenError::BeyondLoopback { address });
        }
        bind_one(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => {
                ListenError::Taken { address, holder: holder::of_port(address.port()) }
            }
            _ => ListenError::Refused { address, source },
        })
    };
    addresses.iter().map(bind).collect()
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server must not wait for its old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_its_holder() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let first = bind(&[any], false).expect("a free port");
        let taken = first[0].local_addr().expect("bound");
        let error = bind(&[taken], false).expect_err("taken").to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
    }

    #[tokio::test]
    async fn other_machines_are_kept_out_unless_the_danger_is_named() {
        let everywhere: SocketAddr = "0.0.0.0:0".parse().expect("an address");
        let error = bind(&[everywhere], false).expect_err("reachable").to_string();
        assert!(error.contains("listen_beyond_loopback_without_authentication"), "{error}");
        assert_eq!(bind(&[everywhere], true).expect("the danger is named").len(), 1);
        let six: SocketAddr = "[::1]:0".parse().expect("an address");
        assert_eq!(bind(&[six], false).expect("loopback").len(), 1);
    }
}
