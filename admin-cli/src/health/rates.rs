//! What a cluster did over the last seconds: what servers count, together, and the disk that is waited for longest.

use std::fmt;

use emberfs_client::{ByteLen, DiskLoad, GetStatusReply, NodeLoad, RoutingTable};
use emberfs_layout::{DiskId, NodeId};
use serde_json::{Value, json};

/// Of a whole cluster; absent where no server has told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Of the storage servers that are heard, for clients.
    chunks: Option<NodeLoad>,
    /// Of the metadata leader, for clients.
    metadata: Option<NodeLoad>,
    slowest: Option<Slowest>,
}

/// The disk whose users wait longest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slowest {
    disk: DiskId,
    node: NodeId,
    /// What the node is called.
    name: String,
    load: DiskLoad,
}

impl Rates {
    /// From what the leader was told. A server that is silent does nothing that is known.
    pub(crate) fn of(status: &GetStatusReply, routing: &RoutingTable, patience_ms: u32) -> Self {
        let heard = status.nodes.iter().filter(|node| {
            node.heard_ms_ago.is_some_and(|ms| ms <= status.lease_ms.unwrap_or(patience_ms))
        });
        let (mut chunks, mut slowest) = (None::<NodeLoad>, None::<Slowest>);
        for node in heard {
            if let Some(load) = node.load {
                chunks = Some(chunks.map_or(load, |sum| sum.and(load)));
            }
            let loads = node.disks.iter().filter_map(|report| Some((report.disk, report.load?)));
            for (disk, load) in loads.filter(|(_, load)| load.p99_us().is_some()) {
                let is_slower = |than: &Slowest| load.p99_us() > than.load.p99_us();
                if slowest.as_ref().is_none_or(is_slower) {
                    let known = routing.nodes().find(|known| known.id == node.node);
                    let name = known.map_or_else(|| node.node.to_string(), |n| n.name.clone());
                    slowest = Some(Slowest { disk, node: node.node, name, load });
                }
            }
        }
        Self { chunks, metadata: status.load, slowest }
    }

    /// For programs: numbers in the units of their names; `null` for what nobody has told.
    pub(crate) fn to_json(&self) -> Value {
        let load = |load: NodeLoad| {
            json!({
                "window_ms": load.window_ms,
                "requests_per_s": load.requests,
                "received_bytes_per_s": load.received.get(),
                "sent_bytes_per_s": load.sent.get(),
            })
        };
        json!({
            "storage": self.chunks.map(load),
            "metadata": self.metadata.map(load),
            "slowest_disk": self.slowest.as_ref().map(|slowest| json!({
                "disk": slowest.disk.to_string(),
                "node": slowest.node.get(),
                "name": slowest.name,
                "window_ms": slowest.load.window_ms,
                "sync_p99_us": slowest.load.sync_p99_us,
                "read_p99_us": slowest.load.read_p99_us,
                "read_bytes_per_s": slowest.load.read.get(),
                "written_bytes_per_s": slowest.load.written.get(),
            })),
        })
    }
}

impl fmt::Display for Rates {
    /// A line of rates, and one of the slowest disk if any did something.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(NodeLoad { requests, received, sent, .. }) = self.chunks {
            let (sent, received) = (megabytes(sent), megabytes(received));
            parts.push(format!("{requests} chunk requests/s, {sent} MB/s out, {received} MB/s in"));
        }
        if let Some(NodeLoad { requests, .. }) = self.metadata {
            parts.push(format!("{requests} metadata requests/s"));
        }
        match parts.is_empty() {
            true => write!(f, "rates: not known yet")?,
            false => write!(f, "rates: {}", parts.join("; "))?,
        }
        let Some(Slowest { disk, name, load, .. }) = &self.slowest else { return Ok(()) };
        let time = |what: &str, us: Option<u32>| {
            let ms = |us| f64::from(us) / 1000.0;
            us.map(|us| match us {
                ..1000 => format!("{what} in {:.2} ms", ms(us)),
                _ => format!("{what} in {:.1} ms", ms(us)),
            })
        };
        let times = [time("syncs", load.sync_p99_us), time("reads", load.read_p99_us)];
        let times: Vec<String> = times.into_iter().flatten().collect();
        write!(f, "\nslowest disk: {disk} on {name}: 99 % of {}", times.join(", of "))
    }
}

fn megabytes(len: ByteLen) -> String {
    format!("{:.1}", len.get() as f64 / 1e6)
}
