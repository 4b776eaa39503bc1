//! What is to be done, and for how long: one line of words.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::block::ALIGNMENT;
use crate::message::{CRC, DISK, GETS, Kind};

/// A load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// [`Kind::Read`], [`Kind::Write`] or [`Kind::Append`].
    pub(crate) kind: Kind,
    pub(crate) size: usize,
    /// Each has a part of the files of its own.
    pub(crate) streams: usize,
    /// How many calls of each are under way.
    pub(crate) depth: usize,
    pub(crate) is_random: bool,
    /// A read from the memory of one server.
    pub(crate) is_echo: bool,
    /// An echo for which two values are looked up.
    pub(crate) gets: bool,
    pub(crate) time: Duration,
}

impl Load {
    /// Of which of the parts that flags name it is made.
    pub(crate) fn flags(&self) -> u8 {
        match (self.gets, self.is_echo) {
            (true, _) => GETS,
            (false, true) => 0,
            (false, false) => DISK | CRC,
        }
    }

    /// How many calls are under way.
    pub(crate) fn calls(&self) -> usize {
        self.streams * self.depth
    }
}

impl FromStr for Load {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [kind, size, streams, depth, order, seconds] = words[..] else {
            bail!("expected KIND SIZE STREAMS DEPTH ORDER SECONDS, not `{text}`")
        };
        let gets = kind == "get";
        let is_echo = gets || kind == "echo";
        let kind = match kind {
            "read" | "echo" | "get" => Kind::Read,
            "write" => Kind::Write,
            "append" => Kind::Append,
            _ => bail!("a load is read, write, append, echo or get, not `{kind}`"),
        };
        let is_random = match order {
            "seq" => false,
            "random" => true,
            _ => bail!("an order is seq or random, not `{order}`"),
        };
        let size: usize = size.parse().context("SIZE")?;
        let aligned = size > 0 && size.is_multiple_of(ALIGNMENT);
        ensure!(kind == Kind::Append || is_echo || aligned, "SIZE is a multiple of {ALIGNMENT}");
        let seconds: f64 = seconds.parse().context("SECONDS")?;
        let (streams, depth): (usize, usize) =
            (streams.parse().context("STREAMS")?, depth.parse().context("DEPTH")?);
        ensure!(streams > 0 && depth > 0, "at least one call is under way");
        let time = Duration::try_from_secs_f64(seconds).context("SECONDS")?;
        Ok(Self { kind, size, streams, depth, is_random, is_echo, gets, time })
    }
}

/// Where the calls of one stream go, one after the other.
#[derive(Debug)]
pub(crate) struct Places {
    from: u64,
    slots: u64,
    size: u64,
    is_random: bool,
    next: u64,
}

impl Places {
    /// Those of stream `number`, in files of so many bytes.
    pub(crate) fn new(load: &Load, number: usize, bytes: u64) -> Self {
        let (streams, size) = (load.streams as u64, load.size as u64);
        let part = bytes / streams / size * size;
        let from = part * number as u64;
        let next = if load.is_random { (number as u64 + 1) << 32 | 1 } else { 0 };
        Self { from, slots: (part / size).max(1), size, is_random: load.is_random, next }
    }

    /// The next, and a number by which one of the servers is chosen.
    pub(crate) fn next(&mut self) -> (u64, usize) {
        let slot = match self.is_random {
            true => {
                self.next ^= self.next << 13;
                self.next ^= self.next >> 7;
                self.next ^= self.next << 17;
                self.next
            }
            false => {
                self.next += 1;
                self.next - 1
            }
        };
        (self.from + slot % self.slots * self.size, (slot % 3) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_load() {
        let load: Load = "read 4096 2 32 random 0.5".parse().expect("a load");
        assert_eq!((load.kind, load.calls(), load.is_random), (Kind::Read, 64, true));
        assert_eq!(load.time, Duration::from_millis(500));
        let get: Load = "get 256 1 32 seq 1".parse().expect("a load");
        assert_eq!((get.is_echo, get.flags(), load.flags()), (true, GETS, DISK | CRC));
        for wrong in [
            "",
            "read 4096 1 1 seq",
            "read 100 1 1 seq 1",
            "eat 4096 1 1 seq 1",
            "read 4096 0 1 seq 1",
        ] {
            assert!(wrong.parse::<Load>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn streams_keep_to_their_parts() {
        let load: Load = "write 4096 4 1 seq 1".parse().expect("a load");
        let mut places = Places::new(&load, 1, 64 << 10);
        let found: Vec<u64> = (0..5).map(|_| places.next().0 >> 10).collect();
        assert_eq!(found, [16, 20, 24, 28, 16]);
        let random = Load { is_random: true, ..load };
        let mut places = Places::new(&random, 3, 64 << 10);
        assert!((0..100).all(|_| (48 << 10..64 << 10).contains(&places.next().0)));
    }
}
