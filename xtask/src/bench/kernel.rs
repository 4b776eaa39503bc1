//! What servers ask of the kernel: system calls, and flushes among them. Counted by `perf stat`, in slices that are
//! measured for nothing else, as counting costs something.
//!
//! A flush is an fsync or fdatasync, or one that was handed over by io_uring: of one file, so that a group commit of data
//! and records is two. What io_uring has done for it costs a server few system calls: they are not what it does.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Each system call; flushes.
const CALLS: &str = "raw_syscalls:sys_enter";
const SYNCS: [&str; 2] = ["syscalls:sys_enter_fsync", "syscalls:sys_enter_fdatasync"];
/// What is handed over by io_uring, as kernels have called it: the newer first.
const HANDED: [&str; 2] = ["io_uring:io_uring_submit_req", "io_uring:io_uring_submit_sqe"];
/// `IORING_OP_FSYNC`.
const IS_SYNC: &str = "opcode==3";

/// What is counted, or why nothing is.
#[derive(Debug)]
pub(super) struct Kernel(Result<&'static str, String>);

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) calls: f64,
    pub(super) flushes: f64,
}

impl Asked {
    /// With what others asked so many times.
    pub(super) fn and(self, other: Self, times: f64) -> Self {
        let Self { calls, flushes } = other;
        Self { calls: self.calls + calls * times, flushes: self.flushes + flushes * times }
    }
}

impl Kernel {
    /// Finds out whether it can be counted here.
    pub(super) fn find() -> Self {
        let mut why = String::new();
        for handed in HANDED {
            let tried = perf(handed).arg("true").stdin(Stdio::null()).output();
            match tried {
                Ok(output) if output.status.success() => return Self(Ok(handed)),
                Ok(output) => why = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                Err(_) => return Self(Err("perf is missing: apt install linux-perf".to_owned())),
            }
        }
        let line = why.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Self(Err(format!("perf: {} (it takes root)", line.trim())))
    }

    /// Why nothing is counted.
    pub(super) fn why_not(&self) -> Option<&str> {
        self.0.as_ref().err().map(String::as_str)
    }

    /// What these processes ask while `work` is done.
    pub(super) fn count<T>(
        &self,
        processes: &[u32],
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Asked)> {
        let (Ok(handed), false) = (&self.0, processes.is_empty()) else {
            return Ok((work()?, Asked::default()));
        };
        let numbers: Vec<String> = processes.iter().map(u32::to_string).collect();
        let mut perf = perf(handed);
        // It counts until this program ends, which first says that it has begun.
        perf.arg("-p").arg(numbers.join(",")).arg("cat");
        perf.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut perf = perf.spawn().context("perf")?;
        let mut tell = perf.stdin.take().expect("it was asked for");
        let mut said = BufReader::new(perf.stdout.take().expect("it was asked for"));
        writeln!(tell, "begun")?;
        said.read_line(&mut String::new())?;
        let done = work();
        drop(tell);
        let output = perf.wait_with_output()?;
        let counted = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "perf stat: {}", counted.trim());
        Ok((done?, read(&counted)))
    }
}

/// Counts all of it.
fn perf(handed: &str) -> Command {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x", ",", "-e", CALLS]);
    SYNCS.iter().for_each(|sync| _ = perf.args(["-e", sync]));
    perf.args(["-e", handed, "--filter", IS_SYNC]);
    perf
}

/// Each line is a count, a unit, and what was counted; what did not happen has words for a count.
fn read(counted: &str) -> Asked {
    let mut asked = Asked::default();
    for line in counted.lines() {
        let words: Vec<&str> = line.split(',').collect();
        let [count, _, what, ..] = words[..] else { continue };
        let count: f64 = count.parse().unwrap_or(0.0);
        match what {
            CALLS => asked.calls += count,
            _ => asked.flushes += count,
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_perf_says_is_read() {
        let said = "300,,raw_syscalls:sys_enter,3574353,100.00,,\n\
                    1,,syscalls:sys_enter_fsync,3574353,100.00,,\n\
                    <not counted>,,syscalls:sys_enter_fdatasync,0,100.00,,\n\
                    2,,io_uring:io_uring_submit_req,3574353,100.00,,\n";
        assert_eq!(read(said), Asked { calls: 300.0, flushes: 3.0 });
        let both = read(said).and(Asked { calls: 10.0, flushes: 1.0 }, 2.0);
        assert_eq!(both, Asked { calls: 320.0, flushes: 5.0 });
    }

    #[test]
    fn work_is_done_whether_or_not_it_is_counted() {
        let kernel = Kernel(Err("perf is missing".to_owned()));
        let (done, asked) = kernel.count(&[1], || Ok(7)).expect("done");
        assert_eq!((done, asked, kernel.why_not()), (7, Asked::default(), Some("perf is missing")));
        assert!(kernel.count(&[], || anyhow::bail!("no") as Result<()>).is_err());
    }
}
