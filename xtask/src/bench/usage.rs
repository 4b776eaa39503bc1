//! What processes cost, from /proc: CPU time, context switches, bytes from and to disks, memory.
//!
//! System calls are not among it, nor flushes: `kernel.rs` counts those, in slices of their own.

use std::fs::{read_dir, read_to_string};
use std::path::Path;

use anyhow::{Context, Result};

/// `USER_HZ`: in which /proc counts CPU time on all that Linux runs on today.
const TICKS_BY_SECOND: f64 = 100.0;

/// What some processes have used since they began, or in a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    /// Voluntary and involuntary ones of all threads.
    pub(super) switches: u64,
    /// Bytes that were written towards disks; in memory none is.
    pub(super) written: u64,
    /// Bytes that were read from disks.
    pub(super) read: u64,
}

impl Usage {
    /// Of all these together, since they began.
    pub(super) fn of(processes: &[u32]) -> Result<Self> {
        let mut all = Self::default();
        for process in processes {
            let read = |file: &str| {
                let path = format!("/proc/{process}/{file}");
                read_to_string(&path).with_context(|| format!("{path}: has the server ended?"))
            };
            all.cpu_seconds += cpu_seconds(&read("stat")?).context("/proc/PID/stat")?;
            let io = read("io")?;
            all.written += number(&io, "write_bytes:");
            all.read += number(&io, "read_bytes:");
            for thread in read_dir(format!("/proc/{process}/task"))? {
                // A thread may end meanwhile.
                let status = read_to_string(thread?.path().join("status")).unwrap_or_default();
                all.switches += number(&status, "voluntary_ctxt_switches:");
                all.switches += number(&status, "nonvoluntary_ctxt_switches:");
            }
        }
        Ok(all)
    }

    /// With what others used for so many times as much.
    #[expect(clippy::cast_possible_truncation, reason = "counts of a slice")]
    pub(super) fn and(self, other: Self, times: f64) -> Self {
        let sum = |one: u64, other: u64| one + (other as f64 * times).round() as u64;
        Self {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds * times,
            switches: sum(self.switches, other.switches),
            written: sum(self.written, other.written),
            read: sum(self.read, other.read),
        }
    }

    /// What came to it since.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            switches: self.switches.saturating_sub(before.switches),
            written: self.written.saturating_sub(before.written),
            read: self.read.saturating_sub(before.read),
        }
    }
}

/// The processes whose program has one of these names, and that this path is said to.
pub(super) fn processes(programs: &[&str], path: &Path) -> Vec<u32> {
    let mark = path.to_string_lossy();
    let listed = read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let numbers = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_meant = |process: &u32| {
        let of = |file| std::fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
        let name = of("comm");
        let is_program = programs.iter().any(|program| program.as_bytes() == name.trim_ascii_end());
        is_program && String::from_utf8_lossy(&of("cmdline")).contains(&*mark)
    };
    numbers.filter(is_meant).collect()
}

/// Resident memory of the largest of these, in MiB: now, or the most that it ever was.
pub(super) fn memory_mib(processes: &[u32], at_most: bool) -> Result<f64> {
    let (mut largest, key) = (0, if at_most { "VmHWM:" } else { "VmRSS:" });
    for process in processes {
        let status = read_to_string(format!("/proc/{process}/status"))?;
        largest = largest.max(number(&status, key));
    }
    Ok(largest as f64 / 1024.0)
}

/// User and system time: the 14th and 15th field, counted behind the name, which may have spaces in it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_BY_SECOND)
}

/// The number behind a key that begins a line; without it, zero.
fn number(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 0 9 0 0 0 150 50 0 0 20 0 1 0 99";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("7"), None);
        let status =
            "VmRSS:\t  2048 kB\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(number(status, "VmRSS:"), 2048);
        assert_eq!(number(status, "voluntary_ctxt_switches:"), 5);
        assert_eq!(number(status, "write_bytes:"), 0);
    }

    #[test]
    fn this_process_has_used_something() {
        let us = [std::process::id()];
        let usage = Usage::of(&us).expect("it runs");
        assert_eq!(usage.since(usage), Usage::default());
        let half =
            Usage { switches: 4, ..Usage::default() }.and(Usage { switches: 6, ..usage }, 0.5);
        assert_eq!(half.switches, 7);
        assert!(memory_mib(&us, false).expect("it runs") > 0.5);
    }
}
