//! A cluster that is made server by server, from sample configurations, as README has it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::local::LocalCluster;
use crate::process::until;

/// The sample of a server's program in `directory`, with these keys changed.
fn sample(cluster: &LocalCluster, program: &str, directory: &Path, keys: &[(&str, String)]) {
    let output = cluster.command(program).arg("sample-config").output().expect("it starts");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |line: &str| match line.split_once(" = ") {
        Some((name, _)) if keys.iter().any(|(key, _)| *key == name) => {
            let (_, value) = keys.iter().find(|(key, _)| *key == name).expect("just found");
            format!("{name} = {value}\n")
        }
        _ => format!("{line}\n"),
    };
    let text: String = text.lines().map(line).collect();
    fs::write(directory.join(format!("{program}.toml")), text).expect("written");
}

fn serve(cluster: &LocalCluster, program: &str, directory: &Path) -> Child {
    let mut command: Command = cluster.command(program);
    command.arg("--config").arg(directory.join(format!("{program}.toml")));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// A loopback address of this process's own: nobody else's port or connection is in the way.
fn host() -> String {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    format!("127.{}.{b}.{c}", 64 + a)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_configurations_and_a_few_commands_make_a_cluster() {
    let cluster = LocalCluster::prepare(&[], &[]);
    // What is started is known by the cluster's directory.
    let directory = &cluster.directory();
    fs::create_dir(directory).expect("made");
    let quoted = |name: &str| format!("{:?}", directory.join(name));
    let (meta, storage) = (format!("{}:7000", host()), format!("{}:7100", host()));
    let listed = |address: &str| format!("[{address:?}]");
    let keys = [("directory", quoted("meta")), ("listen", listed(&meta))];
    sample(&cluster, "emberfs-meta", directory, &keys);
    let config = directory.join("emberfs-meta.toml").to_string_lossy().into_owned();
    let id = cluster.must(&["cluster", "init", "--config", &config]);
    let mut meta_server = serve(&cluster, "emberfs-meta", directory);
    let must = |words: &[&str]| cluster.must(&[&["--cluster", &meta], words].concat());
    let disk = must(&["disk", "format", &directory.join("disk").to_string_lossy()]);
    let keys = [
        ("cluster", format!("{:?}", id.trim())),
        ("meta", listed(&meta)),
        ("listen", listed(&storage)),
        ("directory", quoted("storage")),
        ("disks", format!("[{}]", quoted("disk"))),
    ];
    sample(&cluster, "emberfs-storage", directory, &keys);
    let mut storage_server = serve(&cluster, "emberfs-storage", directory);
    until("the server is there", async || must(&["node", "list"]).contains("storage-1")).await;
    until("its disk is there", async || {
        let add = ["--cluster", &meta, "disk", "add", disk.trim()];
        cluster.emberfs(&add).status.success()
    })
    .await;
    must(&["chain-table", "create", "--replicas", "1"]);
    until("it is healthy", async || {
        cluster.emberfs(&["--cluster", &meta, "status"]).status.success()
    })
    .await;
    must(&["cp", &config, "ember:/config"]);
    assert_eq!(must(&["cat", "ember:/config"]), fs::read_to_string(&config).expect("there"));
    for (server, name) in [(&mut storage_server, "storage"), (&mut meta_server, "meta")] {
        let sent = Command::new("kill").arg(server.id().to_string()).status();
        assert!(sent.expect("there is a kill").success());
        assert!(server.wait().expect("it is a child").success(), "{name}");
    }
}
