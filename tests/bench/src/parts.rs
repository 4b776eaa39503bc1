//! The parts of a load alone, by which the whole is checked: whoever adds up the times of the parts has the rate
//! below which the pipeline itself wastes time.
//!
//! * *wire*: the same messages between the same processes, no disk, no checksum;
//! * *disk*: the same calls to the same files in one process: of writes all three, with their group commits;
//! * *CRC*: the same bytes, as often as the whole sums them: a read twice, a write four times.
//!
//! At depth 1 the times of all parts do add up. At greater depth the disk works while the CPUs send and sum, so that
//! the sum is too cautious there; wire and disk are measured at the load's own depth, with both CPUs, and of sums two
//! are made at once. So `1 / Σ (1 / rate)` is a rate that the pipeline must reach: a weak limit gives less than 0.9 of
//! it. An append has no part but wire and disk, an echo none but the wire.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::block::{Block, Pool};
use crate::client::Client;
use crate::load::{Load, Places};
use crate::message::Kind;
use crate::ring::{Held, Ring};
use crate::slice::Slice;
use crate::store::{Store, StoreEvent};

/// How long sums are made.
const CRC_TIME: Duration = Duration::from_millis(200);
/// As many sums as are made at once.
const CPUS: usize = 2;

/// What a ring's answer is about.
enum Event {
    Read(Instant),
    Store(StoreEvent),
}

impl From<StoreEvent> for Event {
    fn from(event: StoreEvent) -> Self {
        Self::Store(event)
    }
}

/// Measures the parts of a load, in calls a second.
pub(crate) fn measure(
    client: &mut Client,
    directories: &[impl AsRef<Path>],
    load: &Load,
    bytes: u64,
) -> Result<Value> {
    // What is looked up for an echo cannot be had without its wire.
    let flags = if load.is_echo { load.flags() } else { 0 };
    let wire = client.carry_out(load, flags)?.rate();
    if load.is_echo {
        return Ok(json!({ "wire": wire, "sum": wire }));
    }
    let stores: Vec<Store> = directories
        .iter()
        .enumerate()
        .map(|(number, directory)| Store::open(directory.as_ref(), number))
        .collect::<Result<_, _>>()?;
    let disk = match load.kind {
        Kind::Read => read_alone(&stores, load, bytes)?,
        _ => write_alone(stores, load, bytes)?,
    };
    let passes = match load.kind {
        Kind::Read => 2.0,
        Kind::Write => 4.0,
        _ => 0.0,
    };
    let crc = crc_alone(load.size) * load.calls().min(CPUS) as f64;
    let sum = in_a_row(&[(wire, 1.0), (disk.rate(), 1.0), (crc, passes)]);
    Ok(json!({ "wire": wire, "disk": disk.rate(), "crc": crc / f64::max(passes, 1.0), "sum": sum }))
}

/// The rate of parts that come one after the other, each so often.
fn in_a_row(parts: &[(f64, f64)]) -> f64 {
    1.0 / parts.iter().map(|(rate, times)| times / rate).sum::<f64>()
}

fn read_alone(stores: &[Store], load: &Load, bytes: u64) -> Result<Slice> {
    let mut places = Places::new(&Load { streams: 1, ..*load }, 0, bytes);
    let mut ring = Ring::new()?;
    let mut start = |ring: &mut Ring<Event>, block: Block| {
        let ((at, server), range) = (places.next(), block.payload_range());
        ring.read(stores[server].data(), block, range, at, Event::Read(Instant::now()));
    };
    let (begin, mut answers) = (Instant::now(), Vec::new());
    let mut slice = Slice { size: load.size, ..Slice::default() };
    let mut under_way = load.calls();
    (0..under_way).for_each(|_| start(&mut ring, Block::new(load.size)));
    while under_way > 0 {
        ring.wait(&mut answers)?;
        for done in answers.drain(..) {
            let (Event::Read(from), Held::Fill(block)) = (done.whose, done.held) else {
                unreachable!("only reads were started")
            };
            ensure!(done.moved? == load.size, "a short read");
            if begin.elapsed() < load.time {
                slice.count(from.elapsed());
                slice.time = begin.elapsed();
                start(&mut ring, block);
            } else {
                under_way -= 1;
            }
        }
    }
    Ok(slice)
}

fn write_alone(mut stores: Vec<Store>, load: &Load, bytes: u64) -> Result<Slice> {
    let mut places = Places::new(&Load { streams: 1, ..*load }, 0, bytes);
    let (mut ring, mut pool) = (Ring::<Event>::new()?, Pool::default());
    let mut calls: HashMap<u64, (Instant, usize)> = HashMap::new();
    let (begin, mut answers, mut durable) = (Instant::now(), Vec::new(), Vec::new());
    let mut slice = Slice { size: load.size, ..Slice::default() };
    let (mut next, mut wanted) = (0, load.calls());
    loop {
        for id in next..next + wanted as u64 {
            let (at, block) = (places.next().0, Rc::new(pool.take(load.size)));
            calls.insert(id, (Instant::now(), stores.len()));
            for store in &mut stores {
                match load.kind {
                    Kind::Write => store.write(&mut ring, block.clone(), at, id),
                    _ => store.append(&mut ring, id),
                }
            }
            pool.let_go(block);
        }
        next += wanted as u64;
        if calls.is_empty() {
            return Ok(slice);
        }
        ring.wait(&mut answers)?;
        for done in answers.drain(..) {
            done.moved?;
            if let Held::Pieces(pieces) = done.held {
                pieces.into_iter().for_each(|piece| pool.let_go(piece.block));
            }
            let Event::Store(StoreEvent { store, step }) = done.whose else {
                unreachable!("only writes were started")
            };
            stores[store].on(&mut ring, step, &mut durable);
        }
        wanted = 0;
        for id in durable.drain(..) {
            let Some((from, missing)) = calls.get_mut(&id) else { continue };
            *missing -= 1;
            if *missing > 0 {
                continue;
            }
            if begin.elapsed() < load.time {
                slice.count(from.elapsed());
                slice.time = begin.elapsed();
                wanted += 1;
            }
            calls.remove(&id);
        }
    }
}

fn crc_alone(size: usize) -> f64 {
    let mut block = Block::new(size);
    block.fill(1);
    let (begin, mut count) = (Instant::now(), 0.0);
    while begin.elapsed() < CRC_TIME {
        std::hint::black_box(crc32c::crc32c(std::hint::black_box(block.payload())));
        count += 1.0;
    }
    count / begin.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_a_row_add_their_times() {
        assert!((in_a_row(&[(2.0, 1.0), (2.0, 1.0)]) - 1.0).abs() < 1e-9);
        assert!((in_a_row(&[(10.0, 1.0), (40.0, 4.0)]) - 5.0).abs() < 1e-9);
        assert!((in_a_row(&[(8.0, 1.0), (1.0, 0.0)]) - 8.0).abs() < 1e-9);
    }
}
