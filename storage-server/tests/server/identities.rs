//! Whom a server speaks with, and which disks it takes.

use std::os::unix::fs::MetadataExt;

use emberfs_layout::{ClientId, ClusterId, NodeId};
use emberfs_storage_server::{Server, StartError};
use emberfs_wire::WireError;
use emberfs_wire::cluster::PublicState;
use emberfs_wire::handshake::{Hello, Role};
use emberfs_wire::protocol::{ProtocolRange, ProtocolVersion};
use emberfs_wire::replica::AskCommitted;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::chain::alone;
use crate::client::{Client, chunk, hello};
use crate::host::{CLUSTER, Host};
use crate::meta::Meta;

/// Why a server with the configuration of `host` does not start.
fn refusal(host: &Host, meta: &Meta) -> String {
    match Server::start(host.config(meta)) {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn strangers_are_refused_with_words() {
    let (_meta, host, at) = alone();
    let plain = hello(ClientId(1));
    let mut other_cluster = plain.clone();
    other_cluster.identity.cluster = Some(ClusterId(0xdead));
    let newest = ProtocolVersion(99);
    let protocol = ProtocolRange { oldest: newest, newest };
    for (hello, words) in [
        (other_cluster, "check the address or the configuration"),
        (Hello { expected_role: Role::Meta, ..plain.clone() }, "not a metadata server"),
        (Hello { expected_node: Some(NodeId(77)), ..plain.clone() }, "not node-77"),
        (Hello { protocol, ..plain.clone() }, "upgrade the server that listens"),
    ] {
        let refused = Client::connect_as(&hello, &host).await.err().expect("refused").to_string();
        assert!(refused.contains(words), "{refused}");
    }
    // A client has no word in a chain, and what is no method is none.
    let client = Client::connect_as(&plain, &host).await.expect("welcome");
    let ask = AskCommitted { replica: at, chunk: chunk(1, 0) };
    let refused =
        client.ask(&ask, Default::default()).await.expect_err("a client asks a replica's");
    assert!(matches!(refused, WireError::Bug { .. }), "{refused}");
}

#[tokio::test]
async fn what_is_no_frame_ends_the_connection_and_nothing_else() {
    let (_meta, host, at) = alone();
    let client = Client::connect(1, &host).await;
    let address = host.server.as_ref().expect("it runs").addresses()[0];
    let asked = "GET /".to_owned() + &"lost".repeat(100);
    for garbage in [asked.as_bytes(), &[0; 4096]] {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        stream.write_all(garbage).await.expect("sent");
        let mut answer = Vec::new();
        // Closed, whether by an end or by a reset: what matters is that nothing was said.
        let _closed = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{answer:?}");
    }
    client.write(at, 1, chunk(1, 0), 0, b"x").await.expect("others are served");
}

#[test]
fn disks_of_others_are_refused() {
    let meta = Meta::start(CLUSTER);
    let mut host = Host::start("one", 1, &meta);
    meta.make_chain(&[(host.node, host.disks[0], PublicState::Serving)]);
    assert!(refusal(&host, &meta).contains("is in use by process "));
    host.stop();
    host.restart(&meta);
    host.stop();

    // Another server gets the disk that this one's node was given.
    let mut other = Host::start("two", 1, &meta);
    other.stop();
    let mut config = other.config(&meta);
    config.disks = vec![host.disk(0)];
    let refused = Server::start(config).expect_err("the disk of another node").to_string();
    assert!(
        refused.contains(&format!("belongs to {}, expected {}", host.node, other.node)),
        "{refused}"
    );

    // Of another cluster, of a newer format, of none at all.
    let file = host.disk(0).join("emberfs-identity.toml");
    let text = std::fs::read_to_string(&file).expect("formatted");
    let foreign = text.replace(&CLUSTER.to_string(), &ClusterId(0xbad).to_string());
    for (text, words) in [
        (foreign, "cluster 00000000000000000000000000000bad"),
        (text.replace("format = 1", "format = 2"), "start a newer version of this program"),
        ("nonsense".to_owned(), "none of 1 disks can be used"),
    ] {
        std::fs::write(&file, text).expect("written");
        let refused = refusal(&host, &meta);
        assert!(refused.contains(words), "{refused}");
    }
    std::fs::write(&file, &text).expect("written");
    host.restart(&meta);
}

#[test]
fn a_start_is_known_by_its_lock_and_a_disk_by_its_file_system() {
    let meta = Meta::start(CLUSTER);
    let mut host = Host::start("one", 2, &meta);
    host.stop();
    host.restart(&meta);
    let other = Host::start("two", 1, &meta);
    let locks = meta.change(|meta| meta.locks.clone());
    assert!(locks[0].is_some() && locks[0] == locks[1] && locks[1] != locks[2], "{locks:?}");

    let disks = |of: &Host| {
        meta.wait("reports of its disks", |meta| {
            let said = meta.beats.get(&of.node)?.disks.clone();
            (said.len() == of.disks.len()).then_some(said)
        })
    };
    let device = std::fs::metadata(host.disk(0)).expect("there").dev();
    for report in disks(&host).into_iter().chain(disks(&other)) {
        let growth = report.growth.expect("the kernel says where it is");
        assert_eq!(growth.file_system.device, device);
        assert!(growth.counted <= report.capacity && growth.counted <= growth.room, "{report:?}");
    }
}

/// What a server ends of.
fn fault(server: &mut Server) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("an event loop");
    runtime.block_on(server.fault()).to_string()
}

#[test]
fn a_server_that_is_not_taken_in_ends() {
    let meta = Meta::start(CLUSTER);
    let mut host = Host::start("one", 1, &meta);
    host.stop();
    meta.change(|state| state.closed = true);
    let mut server = Server::start(host.config(&meta)).expect("its disks are in order");
    let fault = fault(&mut server);
    assert!(fault.contains("does not take this server in"), "{fault}");
}

/// Another start of the same node was registered, so this one is over, whatever it thinks.
#[test]
fn a_server_that_was_replaced_ends() {
    let meta = Meta::start(CLUSTER);
    let mut host = Host::start("one", 1, &meta);
    meta.change(|state| {
        let node = state.nodes.get_mut(&host.node).expect("registered");
        node.boot = node.boot.next();
    });
    let fault = fault(host.server.as_mut().expect("it runs"));
    assert!(fault.contains("no longer knows this start"), "{fault}");
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_runs() {
    let meta = Meta::start(CLUSTER);
    let mut host = Host::start("one", 1, &meta);
    host.stop();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut config = host.config(&meta);
    config.listen = vec![holder.local_addr().expect("bound")];
    let error = Server::start(config).expect_err("taken");
    assert!(matches!(&error, StartError::Listen(_)), "{error}");
    host.restart(&meta);
}
