//! Starting the servers, and carrying out what standard input says, line by line.
//!
//! Each line is answered by one line of JSON; the first, before any, says the servers' processes. The servers end
//! when their standard input closes: with this process, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use crate::client::Client;
use crate::load::Load;
use crate::{parts, store};

/// How many servers: a chain of three.
const SERVERS: usize = 3;

#[derive(Args)]
pub(crate) struct Drive {
    /// Where the files are made; what is there of an earlier run is replaced
    #[arg(long)]
    directory: PathBuf,
    /// Bytes of data of each server, in MiB
    #[arg(long, default_value_t = 512)]
    mib: u64,
}

/// A server's process, ended when it is dropped.
struct Server {
    child: Child,
    port: u16,
}

/// Starts the servers and does what standard input says.
pub(crate) fn run(args: &Drive) -> Result<()> {
    let bytes = args.mib << 20;
    let directories = [1, 2, 3].map(|number| args.directory.join(format!("disk-{number}")));
    for directory in &directories {
        let made = store::prepare(directory, bytes);
        made.with_context(|| format!("cannot make files in {}", directory.display()))?;
    }
    let servers = start(&directories)?;
    let ports: Vec<u16> = servers.iter().map(|server| server.port).collect();
    let pids: Vec<u32> = servers.iter().map(|server| server.child.id()).collect();
    let mut client = Client::connect(&ports, bytes)?;
    say(&json!({ "servers": pids }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.strip_prefix("parts ") {
            Some(load) => parts::measure(&mut client, &directories, &load.parse()?, bytes)?,
            None => {
                let load: Load = line.parse()?;
                client.carry_out(&load, load.flags())?.json()
            }
        };
        say(&answer)?;
    }
    Ok(())
}

/// Answers by one line.
pub(crate) fn say(answer: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{answer}")?;
    Ok(out.flush()?)
}

/// Starts them, tail first, as each connects to those behind it. The head comes first.
fn start(directories: &[PathBuf; SERVERS]) -> Result<[Server; SERVERS]> {
    let [head, middle, tail] = directories;
    let tail = Server::start(tail, 3, &[])?;
    let middle = Server::start(middle, 2, &[tail.port])?;
    let head = Server::start(head, 1, &[middle.port, tail.port])?;
    Ok([head, middle, tail])
}

impl Server {
    fn start(directory: &Path, peers: usize, next: &[u16]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg("--directory").arg(directory);
        command.args(["--peers", &peers.to_string()]);
        next.iter().for_each(|port| _ = command.args(["--next", &port.to_string()]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a server")?;
        let out = child.stdout.take().expect("it was asked for");
        let mut said = String::new();
        BufReader::new(out).read_line(&mut said)?;
        let port = said.trim().parse().context("a server does not say its port")?;
        Ok(Self { child, port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is as well.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
