//! What is counted of requests: those that are served here, and those that this side makes.
//!
//! The handles of a method are taken when it is first used, and kept for the process: counting a request adds to some
//! numbers and reads the clock twice.

use std::sync::OnceLock;
use std::time::Instant;

use emberfs_metrics::{ClientCounter, Counter, Gauge, Histogram, Metric, client, table};
use emberfs_wire::handshake::{Identity, Role};
use emberfs_wire::method::METHODS;
use emberfs_wire::{FrameHeader, Method, WireError};

use crate::error::CallError;
use crate::serving::Answer;

/// Places for handles: one for each method, and one for those that this build does not know.
const PLACES: usize = METHODS.len() + 1;
/// What a method is called that this build does not know.
const UNKNOWN: &str = "unknown";
/// What is at the other end, in the order of [`peer`].
pub(crate) const PEERS: [&str; 3] = ["meta", "storage", "client"];
/// What failures are called, in the order of [`kind`] and [`call_kind`].
const KINDS: [&str; 11] = [
    "retry",
    "refresh_routing",
    "wait",
    "refuse",
    "corrupt",
    "bug",
    "not_leader",
    "deadline",
    "closed",
    "too_large",
    "unreadable",
];

pub(crate) fn peer(role: Role) -> usize {
    match role {
        Role::Meta => 0,
        Role::Storage => 1,
        Role::Client => 2,
    }
}

fn kind(error: &WireError) -> usize {
    match error {
        WireError::Retry { .. } => 0,
        WireError::RefreshRouting { .. } => 1,
        WireError::Wait { .. } => 2,
        WireError::Refuse { .. } => 3,
        WireError::Corrupt { .. } => 4,
        WireError::Bug { .. } => 5,
        WireError::NotLeader { .. } => 6,
    }
}

fn call_kind(error: &CallError) -> usize {
    match error {
        CallError::Failed(error) => kind(error),
        CallError::Deadline => 7,
        CallError::Closed(_) => 8,
        CallError::TooLarge(_) => 9,
        CallError::Unreadable(_) => 10,
    }
}

/// The place of a method in arrays of [`PLACES`].
fn place(method: Method) -> usize {
    METHODS.binary_search_by_key(&method, |row| row.method).unwrap_or(METHODS.len())
}

fn name(place: usize) -> &'static str {
    METHODS.get(place).map_or(UNKNOWN, |row| row.name)
}

/// What is counted of a method's requests on either side: how many are open, how long they took, and what failed.
struct Requests {
    method: &'static str,
    open: Gauge,
    seconds: Histogram,
    failures: &'static Metric<Counter, 2>,
    errors: [OnceLock<Counter>; KINDS.len()],
}

impl Requests {
    fn new(
        method: &'static str,
        open: Gauge,
        seconds: &Metric<Histogram, 1>,
        failures: &'static Metric<Counter, 2>,
    ) -> Self {
        let (seconds, errors) = (seconds.with([method]), Default::default());
        Self { method, open, seconds, failures, errors }
    }

    /// One has ended, with a failure of this kind or none.
    fn ended(&self, began: Instant, failure: Option<usize>) {
        self.seconds.observe(began.elapsed().as_secs_f64());
        if let Some(kind) = failure {
            self.errors[kind].get_or_init(|| self.failures.with([self.method, KINDS[kind]])).inc();
        }
    }
}

/// What is counted of one method that is served.
struct Served {
    requests: Requests,
    by_peer: [OnceLock<ByPeer>; PEERS.len()],
}

/// What is counted of a method for each kind of peer.
struct ByPeer {
    requests: Counter,
    received: Counter,
    sent: Counter,
}

impl Served {
    fn of(method: Method) -> &'static Self {
        static ALL: [OnceLock<Served>; PLACES] = [const { OnceLock::new() }; PLACES];
        let place = place(method);
        ALL[place].get_or_init(|| {
            let open = table::RPC_OPEN.with([]);
            let (seconds, failures) = (&table::RPC_SECONDS, &table::RPC_ERRORS);
            let requests = Requests::new(name(place), open, seconds, failures);
            Self { requests, by_peer: Default::default() }
        })
    }

    fn of_peer(&self, peer: usize) -> &ByPeer {
        self.by_peer[peer].get_or_init(|| {
            let labels = [self.requests.method, PEERS[peer]];
            ByPeer {
                requests: table::RPC_REQUESTS.with(labels),
                received: table::RPC_RECEIVED_BYTES.with(labels),
                sent: table::RPC_SENT_BYTES.with(labels),
            }
        })
    }
}

/// Counts what one connection asks for.
pub(crate) struct Meter {
    /// What is at the other end.
    peer: usize,
    client: Option<ClientCounter>,
    connections: Gauge,
}

/// A request that is being answered.
pub(crate) struct Answering {
    of: &'static Served,
    sent: &'static Counter,
    began: Instant,
}

impl Meter {
    /// Of a connection with this peer, which stands from now on.
    pub(crate) fn new(remote: &Identity) -> Self {
        let peer = peer(remote.role);
        let client = remote.client.map(|number| client(number.0));
        let connections = table::RPC_CONNECTIONS.with([PEERS[peer]]);
        connections.inc();
        Self { peer, client, connections }
    }

    /// A request has come.
    pub(crate) fn begin(&self, header: &FrameHeader) -> Answering {
        let of = Served::of(header.method);
        let by_peer = of.of_peer(self.peer);
        by_peer.requests.inc();
        by_peer.received.inc_by(u64::from(header.message_len) + u64::from(header.payload_len));
        of.requests.open.inc();
        if let Some(client) = &self.client {
            client.add();
        }
        Answering { of, sent: &by_peer.sent, began: Instant::now() }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.connections.dec();
    }
}

impl Answering {
    /// It is answered. One that is dropped without was given up.
    pub(crate) fn answered(&self, answer: &Answer) {
        self.of.requests.ended(self.began, answer.as_ref().err().map(kind));
        if let Ok((message, payload)) = answer {
            self.sent.inc_by((message.len() + payload.len()) as u64);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.of.requests.open.dec();
    }
}

/// What is counted of one method that is called.
struct Called {
    requests: Requests,
    began: Counter,
    received: Counter,
    sent: Counter,
}

impl Called {
    fn of(method: Method) -> &'static Self {
        static ALL: [OnceLock<Called>; PLACES] = [const { OnceLock::new() }; PLACES];
        let place = place(method);
        ALL[place].get_or_init(|| {
            let method = name(place);
            let open = table::CALLS_OPEN.with([]);
            let (seconds, failures) = (&table::CALL_SECONDS, &table::CALL_ERRORS);
            Self {
                requests: Requests::new(method, open, seconds, failures),
                began: table::CALLS.with([method]),
                received: table::CALL_RECEIVED_BYTES.with([method]),
                sent: table::CALL_SENT_BYTES.with([method]),
            }
        })
    }
}

/// A request of this side.
pub(crate) struct Calling {
    of: &'static Called,
    began: Instant,
}

impl Calling {
    /// Somebody asks.
    pub(crate) fn begin(method: Method) -> Self {
        let of = Called::of(method);
        of.began.inc();
        of.requests.open.inc();
        Self { of, began: Instant::now() }
    }

    /// It is sent, in so many bytes.
    pub(crate) fn sent(&self, bytes: usize) {
        self.of.sent.inc_by(bytes as u64);
    }

    /// Its answer has come.
    pub(crate) fn received(&self, header: &FrameHeader) {
        let bytes = u64::from(header.message_len) + u64::from(header.payload_len);
        self.of.received.inc_by(bytes);
    }

    /// It has ended. One that is dropped without was given up by whoever asked.
    pub(crate) fn ended<T>(&self, outcome: &Result<T, CallError>) {
        self.of.requests.ended(self.began, outcome.as_ref().err().map(call_kind));
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.of.requests.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use emberfs_layout::ClientId;
    use emberfs_wire::cluster::GetClients;
    use emberfs_wire::header::{HEADER_BYTES, RequestId};
    use emberfs_wire::{FrameKind, FsError, Request};

    use crate::frame::Draft;

    fn header() -> FrameHeader {
        let request = Draft::bare(FrameKind::Request, RequestId(1));
        let draft = Draft { method: GetClients::METHOD, message: vec![0; 7], ..request };
        let frame = draft.seal().expect("small");
        let bytes = frame.head.first_chunk::<HEADER_BYTES>().expect("a header comes first");
        FrameHeader::from_bytes(bytes).expect("just made")
    }

    #[test]
    fn each_method_has_a_place_of_its_own() {
        for (at, row) in METHODS.iter().enumerate() {
            assert_eq!((place(row.method), name(at)), (at, row.name));
        }
        assert_eq!(name(place(Method::new(0xfffe))), UNKNOWN);
    }

    #[test]
    fn a_request_is_counted_by_method_peer_and_failure() {
        let client = Some(ClientId(987_654));
        let identity =
            Identity { cluster: None, role: Role::Client, node: None, boot: None, client };
        let meter = Meter::new(&identity);
        let (header, method) = (header(), "GetClients");
        let ok = Ok((vec![1; 10], Bytes::from_static(b"12345")));
        let asked = meter.begin(&header);
        asked.answered(&ok);
        meter.begin(&header).answered(&Err(FsError::NoSpace.into()));
        drop(meter.begin(&header));
        let requests = table::RPC_REQUESTS.with([method, "client"]);
        assert_eq!(requests.get(), 3);
        assert_eq!(table::RPC_ERRORS.with([method, "refuse"]).get(), 1);
        assert_eq!(table::RPC_SECONDS.with([method]).get_sample_count(), 2);
        assert_eq!(table::RPC_SENT_BYTES.with([method, "client"]).get(), 15);
        assert_eq!(table::RPC_RECEIVED_BYTES.with([method, "client"]).get(), 21);
        assert_eq!(table::RPC_CLIENT_REQUESTS.with(["987654"]).get(), 3);
    }
}
