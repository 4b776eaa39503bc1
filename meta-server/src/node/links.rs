//! The connections that this member makes to the others, and keeps.

use std::collections::BTreeMap;

use emberfs_buffer::Pool;
use emberfs_layout::ByteLen;
use emberfs_meta_server_consensus::MemberId;
use emberfs_transport::{Address, Dial, Limits, Link, NoService, Tcp};
use emberfs_wire::handshake::{Hello, Identity, Role};
use emberfs_wire::protocol::{Features, ProtocolRange};
use tokio::task::JoinSet;

use crate::group::error::node;

/// Memory for payloads of replies over one link: pieces of a state, one at a time.
const POOL: ByteLen = ByteLen(4 << 20);

/// Links to the other members, each kept by a task of its own.
pub(super) fn dial(
    others: &[(MemberId, Address)],
    identity: Identity,
    tasks: &mut JoinSet<()>,
) -> BTreeMap<MemberId, Link> {
    let mut links = BTreeMap::new();
    for (member, address) in others {
        let hello = Hello {
            protocol: ProtocolRange::OURS,
            features: Features::OURS,
            identity,
            expected_role: Role::Meta,
            expected_node: node(*member),
            shard: None,
        };
        let (address, pool, limits) = (address.clone(), Pool::new(POOL), Limits::default());
        let dial = Dial { network: Tcp, address, hello, pool, limits };
        // What other members ask comes by connections of theirs.
        let (link, driver) = Link::to_member(dial, NoService);
        tasks.spawn(driver);
        links.insert(*member, link);
    }
    links
}
