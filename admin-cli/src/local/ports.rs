//! Ports for servers on this machine: free ones, outside the range from which the kernel gives ports to
//! outgoing connections, so that none is taken while its server is down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Result, ensure};

/// Below this, ports belong to well-known services.
const LOWEST: u16 = 10_000;
/// The kernel's range where it does not say.
const EPHEMERAL: (u16, u16) = (32_768, 60_999);

/// `count` free ports. `spread` shifts where the search begins, so that clusters that are made at the
/// same moment rarely want the same.
pub(crate) fn choose(count: usize, spread: u16) -> Result<Vec<u16>> {
    let candidates = candidates(ephemeral_range());
    ensure!(!candidates.is_empty(), "the kernel's ephemeral range leaves no ports: see ip(7)");
    let begin = usize::from(spread) % candidates.len();
    let all = candidates[begin..].iter().chain(&candidates[..begin]).copied();
    let free: Vec<u16> = all.filter(|port| is_free(*port)).take(count).collect();
    ensure!(free.len() == count, "only {} of {count} ports are free on loopback", free.len());
    Ok(free)
}

fn candidates((low, high): (u16, u16)) -> Vec<u16> {
    (LOWEST..=u16::MAX).filter(|port| !(low..=high).contains(port)).collect()
}

fn ephemeral_range() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let text = text.unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(low), Some(high)) => (low, high),
        _ => EPHEMERAL,
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ephemeral_and_taken_ports_are_left_out() {
        let ports = choose(4, 7).expect("some are free");
        let (low, high) = ephemeral_range();
        assert!(ports.iter().all(|port| *port < low || *port > high), "{ports:?}");
        let held = TcpListener::bind(("127.0.0.1", ports[0])).expect("it was free");
        let again = choose(4, 7).expect("some are free");
        assert!(!again.contains(&ports[0]), "{again:?}");
        drop(held);
        assert!(candidates((0, u16::MAX)).is_empty());
    }
}
