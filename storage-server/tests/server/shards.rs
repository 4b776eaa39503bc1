//! A server of several shards: who lives where, and what crosses.

use emberfs_layout::{ChunkOffset, ClientId};
use emberfs_wire::chunk::{ChunkRead, ReadOutcome, Replica};
use emberfs_wire::cluster::PublicState;
use emberfs_wire::handshake::{Hello, ShardIndex};

use crate::client::{Client, chunk, hello, replicas};
use crate::host::{CLUSTER, Host};
use crate::meta::Meta;

/// A server with a chain of one on each of its disks.
fn host(disks: usize, meta: &Meta) -> (Host, Vec<Replica>) {
    let host = Host::start("many", disks, meta);
    let chain = |disk| meta.make_chain(&[(host.node, disk, PublicState::Serving)]);
    let at = host.disks.iter().flat_map(|disk| replicas(&chain(*disk))).collect();
    (host, at)
}

#[tokio::test]
async fn a_connection_reaches_every_shard_and_is_told_of_the_right_one() {
    let meta = Meta::start(CLUSTER);
    let (host, at) = host(3, &meta);
    let client = Client::connect_to(1, &host, 1).await;
    assert_eq!(client.welcome.shard, ShardIndex(1));
    for (shard, replica) in at.iter().enumerate() {
        let owner = client.welcome.shards.iter().find(|s| s.targets.contains(&replica.target));
        assert_eq!(owner.map(|s| usize::from(s.shard.0)), Some(shard));
    }
    for (i, replica) in at.iter().enumerate() {
        let bytes = vec![u8::try_from(i).expect("a few"); 100_000];
        client.write(*replica, 1 + i as u64, chunk(1, 0), 0, &bytes).await.expect("written");
        let direct = Client::connect_to(1, &host, u16::try_from(i).expect("a few")).await;
        for client in [&client, &direct] {
            assert_eq!(
                client.read(*replica, chunk(1, 0)).await.expect("read"),
                Some(bytes.clone())
            );
        }
    }
    // One batch over all shards, in an order of its own.
    let order = [2, 0, 1, 0, 2];
    let read = |i: usize, chunk_index| ChunkRead {
        replica: at[i],
        chunk: chunk(1, chunk_index),
        start: ChunkOffset(10),
        len: ChunkOffset(5000),
    };
    let mut reads: Vec<_> = order.iter().map(|i| read(*i, 0)).collect();
    reads.insert(3, read(1, 9));
    let mut found = client.read_all(reads).await.expect("an answer");
    assert_eq!(found.remove(3).0, ReadOutcome::Absent);
    for (i, (_, bytes)) in order.iter().zip(found) {
        assert!(bytes == vec![u8::try_from(*i).expect("a few"); 5000]);
    }
}

#[tokio::test]
async fn a_shard_that_is_not_there_is_refused() {
    let meta = Meta::start(CLUSTER);
    let (host, _) = host(2, &meta);
    let hello = Hello { shard: Some(ShardIndex(2)), ..hello(ClientId(1)) };
    let refused = Client::connect_as(&hello, &host).await.err().expect("no such shard");
    assert!(refused.to_string().contains("no shard 2 here, there are 2"), "{refused}");
}

/// The members of this chain live on two shards of each server: forwards find the right one.
#[tokio::test]
async fn chains_between_shards_of_two_servers() {
    let meta = Meta::start(CLUSTER);
    let (one, two) = (Host::start("one", 2, &meta), Host::start("two", 2, &meta));
    let member = |host: &Host, disk: usize| (host.node, host.disks[disk], PublicState::Serving);
    let straight = [member(&one, 0), member(&two, 1)];
    let back = [member(&two, 0), member(&one, 1)];
    for (data, disks, hosts) in [(1, straight, [&one, &two]), (2, back, [&two, &one])] {
        let at = replicas(&meta.make_chain(&disks));
        let head = Client::connect(1, hosts[0]).await;
        let bytes = vec![7; 40_000];
        for sequence in 1..10 {
            let index = u32::try_from(sequence).expect("a few");
            let number = sequence + 100 * data;
            head.write(at[0], number, chunk(data, index), 3, &bytes).await.expect("written");
        }
        for (host, replica) in hosts.into_iter().zip(at) {
            let client = Client::connect(2, host).await;
            let found = client.read(replica, chunk(data, 5)).await.expect("read").expect("there");
            assert!(found[3..] == bytes && found[..3] == [0; 3]);
        }
    }
}
