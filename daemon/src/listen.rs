//! Sockets that a server listens on.
//!
//! Until peers prove who they are, whoever reaches a port may read and change everything. So a server
//! listens on loopback, and elsewhere only if its operator says so by a key that names the danger.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
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
    /// Another address of the list leaves it no port.
    #[error(
        "listen: {address} stands there twice, or beside a wildcard with its port: leave one out"
    )]
    Twice {
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

/// Reads the addresses to listen at: a list of texts, each an IP address and a port. For
/// `#[serde(deserialize_with = "…")]`.
///
/// # Errors
/// Which is none, and what one looks like.
pub fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    from.deserialize_seq(Addresses)
}

struct Addresses;

impl<'de> Visitor<'de> for Addresses {
    type Value = Vec<SocketAddr>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a list of IP addresses with ports, such as ["127.0.0.1:7000"]"#)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Self::Value, A::Error> {
        let mut addresses = Vec::new();
        while let Some(text) = texts.next_element::<String>()? {
            addresses.push(text.parse().map_err(|_| {
                A::Error::custom(format_args!(
                    "`{text}` is nothing to listen at: expected IP:PORT, such as 127.0.0.1:7000 or [::1]:7000"
                ))
            })?);
        }
        Ok(addresses)
    }
}

fn by(holder: &Option<String>) -> String {
    holder.as_ref().map_or_else(String::new, |holder| format!(" by {holder}"))
}

/// What can be said of `addresses` before anything listens on them.
///
/// # Errors
/// [`ListenError`] for the first address that others reach and should not, or that another one covers.
pub fn check(addresses: &[SocketAddr], beyond_loopback: bool) -> Result<(), ListenError> {
    for (place, &address) in addresses.iter().enumerate() {
        if !address.ip().is_loopback() && !beyond_loopback {
            return Err(ListenError::BeyondLoopback { address });
        }
        if addresses[..place].iter().any(|earlier| excludes(*earlier, address)) {
            return Err(ListenError::Twice { address });
        }
    }
    Ok(())
}

/// Whether nobody can listen on both. Port 0 is any that is free.
fn excludes(one: SocketAddr, other: SocketAddr) -> bool {
    let is_wide = one.ip().is_unspecified() || other.ip().is_unspecified();
    let alike = one.port() == other.port() && one.is_ipv4() == other.is_ipv4();
    one.port() != 0 && (one == other || alike && is_wide)
}

/// Listens on each of `addresses`.
///
/// # Errors
/// [`ListenError`] for the first address that cannot be had, or as of [`check`].
pub fn bind(
    addresses: &[SocketAddr],
    beyond_loopback: bool,
) -> Result<Vec<TcpListener>, ListenError> {
    check(addresses, beyond_loopback)?;
    let bind = |address: &SocketAddr| {
        let address = *address;
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

    #[derive(Debug, serde::Deserialize)]
    struct Example {
        #[serde(deserialize_with = "addresses")]
        listen: Vec<SocketAddr>,
    }

    #[test]
    fn what_is_nothing_to_listen_at_is_told_what_is() {
        let read = |text: &str| toml::from_str::<Example>(&format!("listen = {text}"));
        let good = read(r#"["127.0.0.1:1", "[::1]:2"]"#).expect("two addresses");
        assert_eq!(good.listen.len(), 2);
        for wrong in ["localhost:7000", "127.0.0.1", "::1:7000", "127.0.0.1:70000"] {
            let error = read(&format!("[\"{wrong}\"]")).expect_err("no address").to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
            assert!(error.contains("such as 127.0.0.1:7000"), "{error}");
        }
        let error = read("\"127.0.0.1:7000\"").expect_err("no list").to_string();
        assert!(error.contains("such as [\"127.0.0.1:7000\"]"), "{error}");
    }

    #[test]
    fn an_address_that_another_one_covers_is_named() {
        let said = |texts: &[&str]| {
            let addresses = texts.iter().map(|text| text.parse().expect("an address"));
            check(&addresses.collect::<Vec<_>>(), true).map_err(|error| error.to_string())
        };
        for right in [
            &["127.0.0.1:1", "127.0.0.1:2"][..],
            &["127.0.0.1:0", "127.0.0.1:0"],
            &["127.0.0.1:1", "127.0.0.2:1", "[::1]:1"],
            &["0.0.0.0:1", "[::1]:1", "127.0.0.1:2"],
        ] {
            assert_eq!(said(right), Ok(()), "{right:?}");
        }
        for wrong in [
            &["127.0.0.1:1", "[::1]:1", "127.0.0.1:1"][..],
            &["0.0.0.0:1", "127.0.0.1:1"],
            &["127.0.0.2:1", "0.0.0.0:1"],
            &["[::]:1", "[::1]:1"],
        ] {
            let last = wrong.last().expect("some");
            let begin = format!("listen: {last} stands there twice");
            assert!(said(wrong).expect_err("twice").starts_with(&begin), "{wrong:?}");
        }
    }

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
