//! A cluster that is made server by server, from sample configurations, as README has it.

use std::fs::{self, File};
use std::net::TcpListener;
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
    // Where a test that fails finds it.
    let logs = directory.join("logs");
    fs::create_dir_all(&logs).expect("made");
    let log = File::create(logs.join(format!("{program}.log"))).expect("made");
    command.stdout(Stdio::null()).stderr(log).spawn().expect("it starts")
}

/// Two free ports, of a loopback address of this process's own: no connection of others comes from there, and nobody
/// else listens there, but for who listens at all addresses.
fn addresses() -> [String; 2] {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let host = format!("127.{}.{b}.{c}", 64 + a);
    let both = [(); 2].map(|()| TcpListener::bind((&*host, 0)).expect("a free port"));
    both.map(|one| one.local_addr().expect("bound").to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_configurations_and_a_few_commands_make_a_cluster() {
    let cluster = LocalCluster::prepare(&[], &[]);
    // What is started is known by the cluster's directory.
    let directory = &cluster.directory();
    fs::create_dir(directory).expect("made");
    let quoted = |name: &str| format!("{:?}", directory.join(name));
    let [meta, storage] = addresses();
    let listed = |address: &str| format!("[{address:?}]");
    let keys = [("directory", quoted("meta")), ("listen", listed(&meta))];
    sample(&cluster, "emberfs-meta", directory, &keys);
    let config = directory.join("emberfs-meta.toml").to_string_lossy().into_owned();
    let id = cluster.must(&["cluster", "init", "--config", &config]);
    let mut meta_server = serve(&cluster, "emberfs-meta", directory);
    let must = |words: &[&str]| cluster.must(&[&["--cluster", &meta], words].concat());
    let disks = ["disk-1", "disk-2"].map(|name| {
        let at = directory.join(name);
        must(&["disk", "format", &at.to_string_lossy()]).trim().to_owned()
    });
    let keys = [
        ("cluster", format!("{:?}", id.trim())),
        ("meta", listed(&meta)),
        ("listen", listed(&storage)),
        ("directory", quoted("storage")),
        ("disks", format!("[{}, {}]", quoted("disk-1"), quoted("disk-2"))),
    ];
    sample(&cluster, "emberfs-storage", directory, &keys);
    let mut storage_server = serve(&cluster, "emberfs-storage", directory);
    until("the next step is said", async || {
        let output = cluster.emberfs(&["--cluster", &meta, "status"]);
        let said = String::from_utf8(output.stdout).expect("text");
        disks.iter().all(|disk| said.contains(&format!("`emberfs disk add {disk}`")))
    })
    .await;
    let refused = |words: &[&str], why: &str| {
        let output = cluster.emberfs(&[&["--cluster", &meta], words].concat());
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success() && said.matches(why).count() == 1, "{why}: {said}");
    };
    let nobodys = "0123456789abcdef0123456789abcdef";
    refused(&["--timeout", "3", "disk", "add", nobodys], "no server has told of it");
    let output = cluster.emberfs(&["--cluster", &meta, "disk", "add", &disks[0], &disks[1]]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{said}");
    for disk in &disks {
        let words = format!("disk {disk} is in use on storage-1 (node-1): ");
        assert!(said.contains(&words), "{words}: {said}");
    }
    let many = directory.join("many");
    fs::create_dir(&many).expect("made");
    (0..5).for_each(|name| fs::write(many.join(name.to_string()), "some").expect("written"));
    let many = many.to_string_lossy();
    refused(
        &["cp", "-r", &many, "ember:/"],
        "has no chain table yet: `emberfs chain-table create`",
    );
    must(&["chain-table", "create", "--replicas", "1"]);
    until("it is healthy", async || {
        cluster.emberfs(&["--cluster", &meta, "status"]).status.success()
    })
    .await;
    must(&["cp", &config, "ember:/config"]);
    assert_eq!(must(&["cat", "ember:/config"]), fs::read_to_string(&config).expect("there"));
    let processes = [&meta_server, &storage_server].map(|server| server.id().to_string());
    let sent = Command::new("kill").args(processes).status();
    assert!(sent.expect("there is a kill").success());
    for (server, name) in [(&mut meta_server, "meta"), (&mut storage_server, "storage")] {
        assert!(server.wait().expect("it is a child").success(), "{name}");
    }
}
