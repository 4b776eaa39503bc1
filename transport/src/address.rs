//! Where a server listens: `host:port`, `192.0.2.1:port` or `[2001:db8::1]:port`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// A host, by name or number, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no address: {why}; expected HOST:PORT or [IPV6]:PORT")]
pub struct AddressError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Address {
    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = |why| AddressError { text: text.to_owned(), why };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| error("no port"))?;
        let port = port.parse().map_err(|_| error("the port is not a number up to 65535"))?;
        let bracketed = host.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
        let host = match bracketed {
            Some(Some(inner)) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(error("what stands in brackets is no IPv6 address")),
            None if host.contains(':') => return Err(error("an IPv6 address needs brackets")),
            None => host,
        };
        let named = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(named) {
            return Err(error("no valid host name"));
        }
        if host.parse::<IpAddr>().is_ok_and(|host| host.is_unspecified()) {
            return Err(error("a wildcard is where a server listens, and leads others nowhere"));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for text in ["localhost:7000", "127.0.0.1:1", "[::1]:65535", "meta-1.rack_2.example:80"] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        let why = |text: &str| text.parse::<Address>().expect_err("refused").why;
        assert_eq!(why("localhost"), "no port");
        assert_eq!(why("localhost:65536"), "the port is not a number up to 65535");
        assert_eq!(why("::1:80"), "an IPv6 address needs brackets");
        assert_eq!(why("[::g]:80"), "what stands in brackets is no IPv6 address");
        assert_eq!(why(":80"), "no valid host name");
        for wildcard in ["0.0.0.0:80", "[::]:80", "[0::0]:80"] {
            assert!(why(wildcard).starts_with("a wildcard"), "{wildcard}");
        }
        assert_eq!(why("a b:80"), "no valid host name");
    }
}
