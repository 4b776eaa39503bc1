//! `bare-pipeline`, which is told what to do line by line, and answers each by a line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The program; it ends when nobody tells it anything any more.
#[derive(Debug)]
pub(super) struct Driven {
    child: Child,
    tell: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Driven {
    /// Starts it, and waits until it has said that it can begin, which is the second.
    pub(super) fn start(mut command: Command) -> Result<(Self, Value)> {
        // In a group of its own: who interrupts this command has it end when its part is done.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().context("cannot start bare-pipeline")?;
        let tell = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut driven = Self { child, tell, answers };
        let ready = driven.answer()?;
        Ok((driven, ready))
    }

    /// Its process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Has it do something.
    pub(super) fn ask(&mut self, line: &str) -> Result<Value> {
        let tell = self.tell.as_mut().expect("it is held until the end");
        writeln!(tell, "{line}").with_context(|| format!("bare-pipeline is told `{line}`"))?;
        self.answer().with_context(|| format!("bare-pipeline: `{line}`"))
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            bail!("bare-pipeline ended with {}: see what it said above", self.child.wait()?);
        }
        serde_json::from_str(&line).with_context(|| format!("bare-pipeline said `{line}`"))
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        drop(self.tell.take());
        // It ends by itself, its servers with it.
        let _ended = self.child.wait();
    }
}
