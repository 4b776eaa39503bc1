//! A cluster that is made server by server, from sample configurations, as README has it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::local::LocalCluster;
use crate::process::until;

/// The sample of a server's program, as a file with these keys changed.
pub(crate) fn sample(cluster: &LocalCluster, program: &str, file: &Path, keys: &[(&str, String)]) {
    let output = cluster.command(program).arg("sample-config").output().expect("it starts");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |line: &str| {
        // What has a default stands in a comment.
        let name = line.split_once(" = ").map(|(name, _)| name.trim_start_matches("# "));
        match keys.iter().find(|(key, _)| Some(*key) == name) {
            Some((name, value)) => format!("{name} = {value}\n"),
            None => format!("{line}\n"),
        }
    };
    let text: String = text.lines().map(line).collect();
    fs::write(file, text).expect("written");
}

/// Starts a server's program with a configuration.
pub(crate) fn serve(mut program: Command, file: &Path) -> Child {
    program.arg("--config").arg(file);
    // Where a test that fails finds it.
    let logs = file.with_file_name("logs");
    fs::create_dir_all(&logs).expect("made");
    let name = file.with_extension("log").file_name().expect("a file").to_owned();
    let log = File::create(logs.join(name)).expect("made");
    program.stdout(Stdio::null()).stderr(log).spawn().expect("it starts")
}

/// Free ports, of a loopback address of this process's own: no connection of others comes from there, and nobody
/// else listens there, but for who listens at all addresses.
fn addresses<const N: usize>() -> [String; N] {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let host = format!("127.{}.{b}.{c}", 64 + a);
    let both = [(); N].map(|()| TcpListener::bind((&*host, 0)).expect("a free port"));
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
    let [meta_file, storage_file] =
        ["emberfs-meta.toml", "emberfs-storage.toml"].map(|name| directory.join(name));
    sample(&cluster, "emberfs-meta", &meta_file, &keys);
    let config = meta_file.to_string_lossy().into_owned();
    let id = cluster.must(&["cluster", "init", "--config", &config]);
    let mut meta_server = serve(cluster.command("emberfs-meta"), &meta_file);
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
    sample(&cluster, "emberfs-storage", &storage_file, &keys);
    let mut storage_server = serve(cluster.command("emberfs-storage"), &storage_file);
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

#[tokio::test(flavor = "multi_thread")]
async fn so_they_make_a_group_of_three() {
    let cluster = LocalCluster::prepare(&[], &[]);
    let directory = &cluster.directory();
    fs::create_dir(directory).expect("made");
    let addresses: [String; 3] = addresses();
    let files = [1, 2, 3].map(|node| directory.join(format!("meta-{node}.toml")));
    for (place, file) in files.iter().enumerate() {
        let keys = [
            ("directory", format!("{:?}", directory.join(format!("meta-{}", place + 1)))),
            ("listen", format!("[{:?}]", addresses[place])),
            ("members", format!("{addresses:?}")),
            ("node", (place + 1).to_string()),
        ];
        sample(&cluster, "emberfs-meta", file, &keys);
    }
    let init = ["cluster", "init", "--config", &*files[0].to_string_lossy()];
    let output = cluster.emberfs(&init);
    let said = String::from_utf8(output.stderr).expect("text");
    let id = String::from_utf8(output.stdout).expect("text").trim().to_owned();
    let all = addresses.join(",");
    for words in [format!("emberfs-meta format --cluster {id} "), format!("--cluster {all} disk")] {
        assert!(output.status.success() && said.contains(&words), "{words}: {said}");
    }
    for file in &files[1..] {
        let mut join = cluster.command("emberfs-meta");
        join.args(["format", "--cluster", &id, "--config"]).arg(file);
        assert!(join.output().expect("it starts").status.success());
    }
    let mut members = files.each_ref().map(|file| serve(cluster.command("emberfs-meta"), file));
    let led = |text: &str| text.contains("leads") && text.matches("follows").count() >= 1;
    until("one leads", async || {
        let listed = cluster.emberfs(&["--cluster", &addresses[2], "meta", "list"]).stdout;
        led(&String::from_utf8_lossy(&listed))
    })
    .await;
    members[0].kill().expect("it runs");
    members[0].wait().expect("it is a child");
    until("one of the others leads", async || {
        let listed = cluster.emberfs(&["--cluster", &all, "meta", "list"]).stdout;
        let listed = String::from_utf8_lossy(&listed);
        led(&listed) && listed.contains("silent")
    })
    .await;
    let alive = [&members[1], &members[2]].map(|server| server.id().to_string());
    assert!(Command::new("kill").args(alive).status().expect("there is a kill").success());
    for member in &mut members[1..] {
        assert!(member.wait().expect("it is a child").success());
    }
}
