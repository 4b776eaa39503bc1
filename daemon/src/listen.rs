//! Sockets that a server listens on.
//!
//! Until peers prove who they are, whoever reaches a port may read and change everything. So a server
//! listens on loopback, and elsewhere only if its operator says so by a key that names the danger.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

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
                ListenError::Taken { address, holder: holder(address.port()) }
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

/// Which process listens on `port`, as far as this user may see: `1234 (nginx)`.
#[must_use]
pub fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening_sockets(&table, port))
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.filter_map(Result::ok).find_map(|process| {
        let number = process.file_name().to_string_lossy().parse::<u32>().ok()?;
        holds(&process.path(), &inodes).then(|| {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            format!("{number} ({})", name.trim())
        })
    })
}

/// The sockets of a `/proc/net/tcp` table that listen on `port`, by their inode numbers.
fn listening_sockets(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (_, local_port) = local.rsplit_once(':')?;
        let same = u16::from_str_radix(local_port, 16) == Ok(port);
        (same && *state == LISTEN).then(|| format!("socket:[{inode}]"))
    };
    table.lines().skip(1).filter_map(of_line).collect()
}

/// Whether a process has one of these sockets open.
fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(open) = std::fs::read_dir(process.join("fd")) else { return false };
    open.filter_map(Result::ok)
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
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
