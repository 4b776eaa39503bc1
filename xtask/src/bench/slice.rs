//! What one program did in a slice, and what that cost its servers.

use anyhow::{Context, Result};
use serde_json::Value;

use super::kernel::Asked;
use super::usage::Usage;

/// What is counted in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// 10^6 bytes.
    Bytes,
    Calls,
}

impl Unit {
    /// By the word that `emberfs bench` has for it.
    pub(super) fn named(word: &str) -> Result<Self> {
        let units = [Self::Bytes, Self::Calls];
        let unit = units.into_iter().find(|unit| unit.word() == word);
        unit.with_context(|| format!("there is no unit `{word}`"))
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Bytes => "MB/s",
            Self::Calls => "calls/s",
        }
    }
}

/// A slice.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    pub(super) ops: u64,
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// What it cost the servers.
    pub(super) usage: Usage,
    /// What they asked of the kernel, if that was counted.
    pub(super) asked: Asked,
    /// What else the program says of it.
    pub(super) note: Option<String>,
}

impl Slice {
    /// From what a program said.
    pub(super) fn read(said: &Value, usage: Usage) -> Result<Self> {
        let lacks = |key: &str| format!("a slice has no `{key}`: {said}");
        let count = |key: &str| said[key].as_u64().with_context(|| lacks(key));
        let number = |key: &str| said[key].as_f64().with_context(|| lacks(key));
        Ok(Self {
            ops: count("ops")?,
            bytes: count("bytes")?,
            seconds: number("seconds")?,
            p50_us: number("p50_us")?,
            p99_us: number("p99_us")?,
            usage,
            asked: Asked::default(),
            note: said["note"].as_str().map(str::to_owned),
        })
    }

    /// What two that come one after the other for each call would do: `1 / (1/one + 1/other)`, at the cost of both.
    pub(super) fn in_a_row(self, other: &Self) -> Self {
        let seconds = self.ops as f64 * (by(1.0, self.rate()) + by(1.0, other.rate()));
        let (p50_us, p99_us) = (self.p50_us + other.p50_us, self.p99_us + other.p99_us);
        let times = by(self.ops as f64, other.ops as f64);
        let usage = self.usage.and(other.usage, times);
        let asked = self.asked.and(other.asked, times);
        Self { seconds, p50_us, p99_us, usage, asked, ..self }
    }

    /// Each call counted as so many.
    pub(super) fn times(self, each: u64) -> Self {
        Self { ops: self.ops * each, ..self }
    }

    /// Calls a second.
    pub(super) fn rate(&self) -> f64 {
        by(self.ops as f64, self.seconds)
    }

    /// So many of the unit in a second.
    pub(super) fn rate_in(&self, unit: Unit) -> f64 {
        match unit {
            Unit::Bytes => by(self.bytes as f64 / 1e6, self.seconds),
            Unit::Calls => self.rate(),
        }
    }

    /// CPU seconds of the servers for each GiB.
    pub(super) fn cpu_by_gib(&self) -> f64 {
        by(self.usage.cpu_seconds, self.bytes as f64 / f64::from(1 << 30))
    }

    /// Context switches of the servers for each call.
    pub(super) fn switches_by_call(&self) -> f64 {
        by(self.usage.switches as f64, self.ops as f64)
    }

    /// System calls of the servers for each call.
    pub(super) fn system_calls_by_call(&self) -> f64 {
        by(self.asked.calls, self.ops as f64)
    }

    /// Flushes of the servers for each call.
    pub(super) fn flushes_by_call(&self) -> f64 {
        by(self.asked.flushes, self.ops as f64)
    }

    /// Bytes that the servers wrote to disks for each byte of the calls.
    pub(super) fn written_by_byte(&self) -> f64 {
        by(self.usage.written as f64, self.bytes as f64)
    }

    /// Bytes that the servers read from disks for each byte of the calls.
    pub(super) fn read_by_byte(&self) -> f64 {
        by(self.usage.read as f64, self.bytes as f64)
    }
}

/// A quotient; of nothing, zero.
pub(super) fn by(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_in_a_row_add_their_times() {
        let of = |ops, seconds| Slice { ops, bytes: ops, seconds, ..Slice::default() };
        let both = of(30, 1.0).in_a_row(&of(120, 2.0));
        assert!((both.rate() - 20.0).abs() < 1e-9, "{both:?}");
        let asking = |ops, flushes| Slice { asked: Asked { calls: 0.0, flushes }, ..of(ops, 1.0) };
        let asked = asking(10, 10.0).in_a_row(&asking(20, 40.0));
        assert!((asked.flushes_by_call() - 3.0).abs() < 1e-9, "{asked:?}");
        let three = both.in_a_row(&of(20, 1.0));
        assert!((three.rate() - 10.0).abs() < 1e-9, "{three:?}");
        assert!((three.times(1024).rate() - 10_240.0).abs() < 1e-6);
    }

    #[test]
    fn a_slice_is_read_and_divided() {
        let said =
            json!({ "ops": 4, "bytes": 2u64 << 30, "seconds": 2.0, "p50_us": 1, "p99_us": 2 });
        let usage = Usage { cpu_seconds: 3.0, switches: 8, written: 6 << 30, read: 0 };
        let slice = Slice::read(&said, usage).expect("whole");
        let found =
            [slice.rate(), slice.cpu_by_gib(), slice.switches_by_call(), slice.written_by_byte()];
        for (found, expected) in found.into_iter().zip([2.0, 1.5, 2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
        }
        assert!((slice.rate_in(Unit::Bytes) - 1_073.741_824).abs() < 1e-3);
        assert!(Slice::read(&json!({}), usage).expect_err("no number").to_string().contains("ops"));
    }
}
