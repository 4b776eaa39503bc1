//! A network of machines: namespaces with an address each, on one switch, whose cables can be pulled out.
//!
//! ```text
//!   machine 1 (10.0.0.1) ──┐
//!   machine 2 (10.0.0.2) ──┤ switch: a bridge in a namespace of its own
//!   machine 3 (10.0.0.3) ──┘
//! ```
//! What runs on a machine sees this one's files, and no network but its own. A namespace lives for as long as a process
//! that holds it, which ends with the test: none has a name, so none is left behind, and any number of networks can be
//! side by side.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What a holder says once it has its namespace: before that it shares ours.
const READY: &str = "ready";

/// Machines, and what connects them.
#[derive(Debug)]
pub struct Network {
    switch: Namespace,
    machines: Vec<Namespace>,
}

/// A namespace, by the process that holds it.
#[derive(Debug)]
struct Namespace {
    holder: Child,
}

/// Whether there can be one; else says that the test is skipped.
#[must_use]
pub fn can_be(test: &str) -> bool {
    let may = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !may {
        println!("skipped: {test}: network namespaces and mounts in them need root and /dev/fuse");
    }
    may
}

impl Network {
    /// So many machines, connected.
    #[must_use]
    pub fn new(machines: usize) -> Self {
        let (switch, machines) = (Namespace::new(), (0..machines).map(|_| Namespace::new()));
        let network = Self { switch, machines: machines.collect() };
        network.switch.ip("link add name switch type bridge");
        network.switch.ip("link set switch up");
        for (machine, namespace) in network.machines.iter().enumerate() {
            let peer = format!("peer name cable netns {}", namespace.holder.id());
            network.switch.ip(&format!("link add name port-{machine} type veth {peer}"));
            network.switch.ip(&format!("link set port-{machine} master switch up"));
            namespace.ip("link set lo up");
            namespace.ip(&format!("address add {}/24 dev cable", network.address(machine)));
            namespace.ip("link set cable up");
        }
        network
    }

    /// Where a machine is; they are counted from 0.
    #[must_use]
    pub fn address(&self, machine: usize) -> String {
        format!("10.0.0.{}", machine + 1)
    }

    /// The same command, to be run on a machine.
    #[must_use]
    pub fn on(&self, machine: usize, command: &Command) -> Command {
        self.machines[machine].inside(command)
    }

    /// Pulls a machine's cable: nothing comes or goes, and nobody is told.
    pub fn cut_off(&self, machine: usize) {
        self.switch.ip(&format!("link set port-{machine} down"));
    }

    /// Puts it in again.
    pub fn connect(&self, machine: usize) {
        self.switch.ip(&format!("link set port-{machine} up"));
    }
}

impl Namespace {
    fn new() -> Self {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "--", "sh", "-c", &format!("echo {READY}; exec cat")]);
        let holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut namespace = Self { holder: holder.expect("util-linux has `unshare`") };
        let mut said = String::new();
        let answers = namespace.holder.stdout.as_mut().expect("piped");
        BufReader::new(answers).read_line(&mut said).expect("it speaks");
        assert_eq!(said.trim_end(), READY, "a network namespace");
        namespace
    }

    fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg("--");
        inside.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    fn ip(&self, words: &str) {
        let mut ip = Command::new("ip");
        ip.args(words.split(' '));
        let output = self.inside(&ip).output().expect("util-linux has `nsenter`");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words}: {said}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // At the end of its input it ends.
        drop(self.holder.stdin.take());
        let _ended = self.holder.wait();
    }
}
