//! What `emberfs bench` says of its benchmarks, by which slices of them are asked for.

use anyhow::{Context, Result};
use serde_json::Value;

use super::slice::Unit;

/// A benchmark.
#[derive(Clone, Debug)]
pub(super) struct Benchmark {
    pub(super) unit: Unit,
    /// Over how much it goes.
    pub(super) data: String,
    /// What has it in memory when a slice begins.
    pub(super) cache: String,
    /// By what each piece of its limit is measured.
    pub(super) pieces: Vec<By>,
    /// How much of what the value counts each call of the limit is.
    pub(super) each: u64,
}

/// By what a piece of a limit is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The bare pipeline.
    Bare,
    /// The client library, in the cluster.
    Native,
    /// A mounted file system in memory.
    Memory,
    /// A directory of this machine.
    Local,
}

impl By {
    fn named(word: &str) -> Option<Self> {
        let words = ["bare", "native", "memory", "local"];
        let all = [Self::Bare, Self::Native, Self::Memory, Self::Local];
        words.iter().position(|known| *known == word).map(|at| all[at])
    }
}

impl Benchmark {
    /// The one of this name, of all that were said.
    pub(super) fn find(said: &Value, name: &str) -> Result<Self> {
        let lacks =
            || format!("emberfs knows no benchmark `{name}`, or not all of it: is it built?");
        let of = &said[name];
        let text = |key: &str| of[key].as_str().with_context(lacks);
        let pieces = of["pieces"].as_array().with_context(lacks)?.iter();
        let pieces: Option<Vec<By>> = pieces.map(|word| By::named(word.as_str()?)).collect();
        Ok(Self {
            unit: Unit::named(text("unit")?)?,
            data: text("data")?.to_owned(),
            cache: text("cache")?.to_owned(),
            pieces: pieces.filter(|pieces| !pieces.is_empty()).with_context(lacks)?,
            each: of["each"].as_u64().with_context(lacks)?,
        })
    }

    /// Whether it goes through a mount.
    pub(super) fn is_mounted(&self) -> bool {
        self.pieces.iter().any(|by| matches!(by, By::Memory | By::Local))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_benchmark_is_whole_or_named() {
        let whole = json!({
            "unit": "MB/s", "data": "512 MiB", "cache": "cold", "pieces": ["native", "memory"], "each": 1
        });
        let said = json!({ "whole": whole, "strange": { "unit": "MB/s" } });
        let found = Benchmark::find(&said, "whole").expect("whole");
        assert_eq!((found.unit, found.is_mounted()), (Unit::Bytes, true));
        for name in ["strange", "missing"] {
            let error = Benchmark::find(&said, name).expect_err("not whole").to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
