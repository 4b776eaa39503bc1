//! A program that is told what to do line by line, and answers each by a line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Such a program; it ends when nobody tells it anything any more.
pub(super) struct Driven {
    name: String,
    child: Child,
    tell: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Driven {
    /// Starts it, and waits until it has said that it can begin, which is the second.
    pub(super) fn start(mut command: Command) -> Result<(Self, Value)> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let tell = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut driven = Self { name, child, tell, answers };
        let ready = driven.answer()?;
        Ok((driven, ready))
    }

    /// Has it do something.
    pub(super) fn ask(&mut self, line: &str) -> Result<Value> {
        let tell = self.tell.as_mut().expect("it is held until the end");
        writeln!(tell, "{line}").with_context(|| format!("{} is told `{line}`", self.name))?;
        self.answer().with_context(|| format!("`{line}`"))
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            bail!("{} ended with {}: see what it said above", self.name, self.child.wait()?);
        }
        serde_json::from_str(&line).with_context(|| format!("{} said `{line}`", self.name))
    }

    /// Lets it end.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.tell.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        drop(self.tell.take());
        // It ends by itself, and removes what it made.
        let _ended = self.child.wait();
    }
}
