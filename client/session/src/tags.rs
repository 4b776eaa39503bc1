//! Numbers of a session's chunk writes, and for each chain the mark below which all have their replies.
//!
//! A write takes the next number, keeps it over all its retries, and gives it back when it is settled: done,
//! or refused. Numbers are one sequence. A chain's low-water mark is the lowest number that is still out *to
//! that chain*, or the next: its servers forget the tags below it, and refuse writes below it that come late.
//! Chunks never change their chain, so a write says no other mark; and one that waits for a chain that is gone
//! holds down no mark but that of its own. The session's renewals tell the marks of all chains, for servers whose
//! chunks its tags fill while it writes nothing there.
//!
//! Writes of one client to a chunk are applied in their order, also where nobody waits for the first any more.
//! So two writes hold the next to their chunk:
//!
//! | write | until | because |
//! | --- | --- | --- |
//! | given up: its caller went away | it is settled | it goes on in the background |
//! | ended in doubt: a copy of it may be on its way | its chain's mark has passed it | a late copy would be done; the next write carries a mark that shuts it out wherever it is applied itself |
//!
//! And a chunk has only so many writes from its chain's mark on: servers remember them all, and have a limit, which
//! would be met by the very write that holds the mark.
//!
//! A late copy of a write that was done does no harm: servers know its tag until the mark has passed it.
//!
//! Writes that were given up keep their bytes, and there are limits: beyond them no write begins.

use std::collections::{BTreeMap, BTreeSet};

use emberfs_layout::{ByteLen, ChainId, ChunkId, ClientId, Sequence};
use emberfs_wire::limits::{OPEN_CHAINS_MAX, TAGS_OPEN_MAX};
use emberfs_wire::meta::{OpenChain, RenewSession};

/// Writes that were given up and go on, of all chains, at most before none begins: what a program can spare for
/// what it no longer waits for. What callers had under way at that time may still come on top.
pub const GIVEN_UP_MAX: Load = Load { writes: 1024, bytes: ByteLen(64 << 20) };
/// The same of one chain, before none to it begins: beyond this a chain is not slow but gone. An eighth of all,
/// so that it does not stop the others.
pub const GIVEN_UP_OF_CHAIN_MAX: Load = Load { writes: 128, bytes: ByteLen(8 << 20) };
/// Writes to one chunk from its chain's mark on (a count): a quarter of what a server takes before only the one at
/// the mark is let in, so that some clients get by without waiting for each other.
pub const OF_CHUNK_MAX: usize = TAGS_OPEN_MAX / 4;
/// Writes to all chunks of a chain from its mark on (a count), some 50 bytes each.
pub const OF_CHAIN_MAX: usize = 1 << 16;

/// The numbers of one session.
#[derive(Clone, Debug)]
pub struct Tags {
    next: Sequence,
    /// Those that have numbers out.
    chains: BTreeMap<ChainId, OfChain>,
    given_up: Load,
}

/// One write of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId {
    /// To which chain.
    pub chain: ChainId,
    /// To which chunk.
    pub chunk: ChunkId,
    /// Its number.
    pub sequence: Sequence,
}

/// So many writes, with so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many.
    pub writes: usize,
    /// The bytes of all.
    pub bytes: ByteLen,
}

/// The numbers that are out to one chain; none is held without one.
#[derive(Clone, Debug, Default)]
struct OfChain {
    /// Those given up with their bytes.
    open: BTreeMap<Sequence, Option<ByteLen>>,
    /// Writes that hold the next to their chunk.
    holding: BTreeSet<(ChunkId, Sequence)>,
    /// Those from the mark on, whether they are out or back.
    remembered: BTreeMap<Sequence, ChunkId>,
    /// How many of these each chunk has.
    of_chunks: BTreeMap<ChunkId, usize>,
    given_up: Load,
}

/// A write must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// For this earlier write: to its chunk, or the first to its chain.
    By(Sequence),
    /// For any of those that were given up: there are too many, of its chain or of all.
    Full,
}

impl Default for Tags {
    fn default() -> Self {
        Self { next: Sequence(1), chains: BTreeMap::new(), given_up: Load::default() }
    }
}

impl Load {
    fn reaches(self, most: Self) -> bool {
        self.writes >= most.writes || self.bytes >= most.bytes
    }

    fn add(&mut self, len: ByteLen) {
        self.writes += 1;
        self.bytes.0 += len.0;
    }

    fn remove(&mut self, len: ByteLen) {
        self.writes -= 1;
        self.bytes.0 -= len.0;
    }
}

impl Tags {
    /// A number for a write to `chunk`, which is on `chain`.
    ///
    /// # Errors
    /// [`Blocked`]: try again after the next number was given back.
    pub fn begin(&mut self, chain: ChainId, chunk: ChunkId) -> Result<WriteId, Blocked> {
        if let Some(of) = self.chains.get(&chain) {
            let of_chunk = (chunk, Sequence(0))..=(chunk, Sequence(u64::MAX));
            if let Some((_, by)) = of.holding.range(of_chunk).next_back() {
                return Err(Blocked::By(*by));
            }
            if let Some(first) = of.first().filter(|_| of.remembers_enough(chunk)) {
                return Err(Blocked::By(first));
            }
            if of.given_up.reaches(GIVEN_UP_OF_CHAIN_MAX) {
                return Err(Blocked::Full);
            }
        }
        if self.given_up.reaches(GIVEN_UP_MAX) {
            return Err(Blocked::Full);
        }
        let sequence = self.next;
        self.next = sequence.next();
        let of = self.chains.entry(chain).or_default();
        of.open.insert(sequence, None);
        of.remember(chunk, sequence);
        Ok(WriteId { chain, chunk, sequence })
    }

    /// Nobody waits for the write of `len` bytes any more, and it goes on: its number stays out.
    pub fn give_up(&mut self, write: WriteId, len: ByteLen) {
        let of = self.chains.get_mut(&write.chain).expect("its number is out");
        let before = of.open.insert(write.sequence, Some(len));
        assert_eq!(before, Some(None), "{write:?} is out, and given up once");
        of.holding.insert((write.chunk, write.sequence));
        of.given_up.add(len);
        self.given_up.add(len);
    }

    /// The write is settled for good, or never left.
    pub fn settled(&mut self, write: WriteId) {
        self.give_back(write, false);
    }

    /// The write is over for its caller, and a copy of it may still arrive.
    pub fn doubted(&mut self, write: WriteId) {
        self.give_back(write, true);
    }

    /// Every write to the chain below this is settled.
    #[must_use]
    pub fn low_water(&self, chain: ChainId) -> Sequence {
        self.chains.get(&chain).and_then(OfChain::first).unwrap_or(self.next)
    }

    /// A sign of life of the session, which is `client`, with the marks of all chains.
    #[must_use]
    pub fn renewal(&self, client: ClientId) -> RenewSession {
        self.renewal_of(client, OPEN_CHAINS_MAX)
    }

    /// The same with no more than `most` marks apart from that of all others: the lowest.
    fn renewal_of(&self, client: ClientId, most: usize) -> RenewSession {
        let first = |(chain, of): (&ChainId, &OfChain)| Some((of.first()?, *chain));
        let mut lowest: BTreeSet<_> = self.chains.iter().filter_map(first).collect();
        let others = lowest.iter().nth(most).map_or(self.next, |(first, _)| *first);
        lowest.retain(|(first, _)| *first < others);
        let open = lowest.into_iter().map(|(low_water, chain)| OpenChain { chain, low_water });
        RenewSession { client, others, open: open.collect() }
    }

    fn give_back(&mut self, write: WriteId, holds: bool) {
        let WriteId { chain, chunk, sequence } = write;
        let of = self.chains.get_mut(&chain).expect("its number is out");
        let given_up = of.open.remove(&sequence).expect("a number is given back once");
        if let Some(len) = given_up {
            of.given_up.remove(len);
            self.given_up.remove(len);
        }
        match holds {
            true => of.holding.insert((chunk, sequence)),
            false => of.holding.remove(&(chunk, sequence)),
        };
        match of.first() {
            Some(mark) if mark > sequence => {
                of.holding.retain(|(_, held_by)| *held_by >= mark);
                of.forget(mark);
            }
            Some(_) => {}
            None => drop(self.chains.remove(&chain)),
        }
    }
}

impl OfChain {
    fn remembers_enough(&self, chunk: ChunkId) -> bool {
        self.remembered.len() >= OF_CHAIN_MAX
            || self.of_chunks.get(&chunk).is_some_and(|count| *count >= OF_CHUNK_MAX)
    }

    fn remember(&mut self, chunk: ChunkId, sequence: Sequence) {
        self.remembered.insert(sequence, chunk);
        *self.of_chunks.entry(chunk).or_default() += 1;
    }

    /// Forgets those below the mark.
    fn forget(&mut self, mark: Sequence) {
        let kept = self.remembered.split_off(&mark);
        for chunk in std::mem::replace(&mut self.remembered, kept).into_values() {
            let count = self.of_chunks.get_mut(&chunk).expect("counted when it was remembered");
            *count -= 1;
            if *count == 0 {
                self.of_chunks.remove(&chunk);
            }
        }
    }

    fn first(&self) -> Option<Sequence> {
        self.open.first_key_value().map(|(sequence, _)| *sequence)
    }
}

#[cfg(test)]
mod tests {
    use emberfs_layout::{ChunkIndex, DataId};
    use proptest::prelude::*;

    use super::*;

    const CHAINS: u32 = 2;

    fn chunk(index: u32) -> ChunkId {
        ChunkId::new(DataId(1), ChunkIndex(index))
    }

    /// Chunks go round the chains.
    fn chain_of(index: u32) -> ChainId {
        ChainId(index % CHAINS)
    }

    fn begin(tags: &mut Tags, index: u32) -> Result<WriteId, Blocked> {
        tags.begin(chain_of(index), chunk(index))
    }

    #[test]
    fn a_write_in_doubt_holds_the_next_to_its_chunk_until_the_mark_has_passed() {
        let mut tags = Tags::default();
        let slow = begin(&mut tags, 0).expect("free");
        let late = begin(&mut tags, 2).expect("free");
        tags.doubted(late);
        assert_eq!(begin(&mut tags, 2), Err(Blocked::By(late.sequence)));
        let other = begin(&mut tags, 4).expect("another chunk");
        assert_eq!(tags.low_water(slow.chain), slow.sequence);
        tags.settled(slow);
        assert_eq!(tags.low_water(slow.chain), other.sequence);
        let next = begin(&mut tags, 2).expect("the mark has passed");
        assert!(tags.low_water(next.chain) > late.sequence && next.sequence > late.sequence);
    }

    #[test]
    fn a_chunk_has_so_many_writes_from_the_mark_on() {
        let mut tags = Tags::default();
        let slow = begin(&mut tags, 2).expect("free");
        let first = begin(&mut tags, 0).expect("free");
        for _ in 1..OF_CHUNK_MAX {
            let write = begin(&mut tags, 0).expect("free");
            tags.settled(write);
        }
        assert_eq!(begin(&mut tags, 0), Err(Blocked::By(slow.sequence)), "all are remembered");
        begin(&mut tags, 4).expect("another chunk");
        tags.settled(slow);
        assert_eq!(begin(&mut tags, 0), Err(Blocked::By(first.sequence)));
        tags.settled(first);
        begin(&mut tags, 0).expect("the mark has passed");
    }

    #[test]
    fn a_chain_that_is_gone_holds_down_no_other_s_mark() {
        let mut tags = Tags::default();
        let gone = begin(&mut tags, 0).expect("free");
        for _ in 0..100 {
            let write = begin(&mut tags, 1).expect("free");
            assert_eq!(tags.low_water(write.chain), write.sequence);
            tags.doubted(write);
        }
        assert_eq!(tags.low_water(gone.chain), gone.sequence);
        assert_eq!(tags.low_water(chain_of(1)), Sequence(102));
    }

    #[test]
    fn a_write_given_up_holds_the_next_to_its_chunk_until_it_is_settled() {
        let mut tags = Tags::default();
        let [slow, first, second] = [0, 2, 2].map(|index| begin(&mut tags, index).expect("free"));
        tags.give_up(second, ByteLen(9));
        tags.give_up(first, ByteLen(9));
        assert_eq!(begin(&mut tags, 2), Err(Blocked::By(second.sequence)));
        tags.settled(second);
        assert_eq!(begin(&mut tags, 2), Err(Blocked::By(first.sequence)));
        tags.settled(first);
        assert_eq!(tags.low_water(slow.chain), slow.sequence, "it was done, whatever the mark is");
        begin(&mut tags, 2).expect("both are settled");
    }

    #[test]
    fn too_much_that_was_given_up_to_a_chain_holds_the_others_to_it() {
        let Load { writes, bytes } = GIVEN_UP_OF_CHAIN_MAX;
        for (count, len) in [(writes, ByteLen(1)), (1, bytes)] {
            let mut tags = Tags::default();
            let mut given_up = Vec::new();
            for index in 0..u32::try_from(count).expect("a few") {
                let write = begin(&mut tags, index * CHAINS).expect("there is room");
                tags.give_up(write, len);
                given_up.push(write);
            }
            assert_eq!(begin(&mut tags, u32::MAX - 1), Err(Blocked::Full));
            begin(&mut tags, u32::MAX).expect("another chain");
            tags.settled(given_up[0]);
            begin(&mut tags, u32::MAX - 1).expect("there is room again");
        }
    }

    #[test]
    fn too_much_that_was_given_up_holds_all_others() {
        let mut tags = Tags::default();
        let mut chains = 0;
        let first = tags.begin(ChainId(0), chunk(0)).expect("free");
        tags.give_up(first, GIVEN_UP_OF_CHAIN_MAX.bytes);
        while let Ok(write) = tags.begin(ChainId(chains + 1), chunk(0)) {
            chains += 1;
            tags.give_up(write, GIVEN_UP_OF_CHAIN_MAX.bytes);
        }
        assert_eq!(chains + 1, 8, "several may be gone");
        tags.settled(first);
        tags.begin(ChainId(chains + 1), chunk(0)).expect("there is room again");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Begin(u32),
        Settle(prop::sample::Index),
        GiveUp(prop::sample::Index),
        Doubt(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u32..6).prop_map(Step::Begin),
            2 => any::<prop::sample::Index>().prop_map(Step::Settle),
            1 => any::<prop::sample::Index>().prop_map(Step::GiveUp),
            1 => any::<prop::sample::Index>().prop_map(Step::Doubt),
        ]
    }

    proptest! {
        #[test]
        fn numbers_are_used_once_and_a_mark_passes_none_that_is_out_to_its_chain(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut tags = Tags::default();
            let mut open: Vec<WriteId> = Vec::new();
            let mut given_up: BTreeSet<WriteId> = BTreeSet::new();
            let mut doubted: Vec<WriteId> = Vec::new();
            let marks = |tags: &Tags| [0, 1].map(|index| tags.low_water(chain_of(index)));
            let (mut taken, mut before) = (0, marks(&tags));
            for step in steps {
                match step {
                    Step::Begin(index) => if let Ok(write) = begin(&mut tags, index) {
                        taken += 1;
                        prop_assert_eq!(write.sequence, Sequence(taken), "none is skipped");
                        open.push(write);
                        let of_chunk = |other: &&WriteId| other.chunk == chunk(index);
                        prop_assert!(!given_up.iter().any(|one| of_chunk(&one)));
                        let mark = tags.low_water(write.chain);
                        let mut late = doubted.iter().filter(of_chunk);
                        prop_assert!(late.all(|late| late.sequence < mark));
                    }
                    Step::GiveUp(which) if !open.is_empty() => {
                        let write = open[which.index(open.len())];
                        if given_up.insert(write) {
                            tags.give_up(write, ByteLen(1));
                        }
                    }
                    Step::Settle(which) if !open.is_empty() => {
                        let write = open.swap_remove(which.index(open.len()));
                        given_up.remove(&write);
                        tags.settled(write);
                    }
                    Step::Doubt(which) if !open.is_empty() => {
                        let write = open.swap_remove(which.index(open.len()));
                        given_up.remove(&write);
                        tags.doubted(write);
                        doubted.push(write);
                    }
                    Step::Settle(_) | Step::GiveUp(_) | Step::Doubt(_) => {}
                }
                let now = marks(&tags);
                prop_assert!(now.iter().zip(&before).all(|(now, before)| now >= before));
                before = now;
                for most in 0..=2 {
                    let renewal = tags.renewal_of(ClientId(1), most);
                    let told = [0, 1].map(|index| renewal.low_water(chain_of(index)));
                    prop_assert!(told.iter().zip(now).all(|(told, mark)| *told <= mark));
                    prop_assert!(told.iter().min() == now.iter().min());
                    prop_assert!(renewal.open.len() <= most && (most < 2 || told == now));
                }
                for (index, mark) in (0..CHAINS).zip(now) {
                    let of_chain = open.iter().filter(|write| write.chain == chain_of(index));
                    let first = of_chain.map(|write| write.sequence).min();
                    prop_assert_eq!(mark, first.unwrap_or(Sequence(taken + 1)));
                    if first.is_none() {
                        let mut chunks = (index..6).step_by(CHAINS as usize);
                        prop_assert!(chunks.all(|i| begin(&mut tags.clone(), i).is_ok()));
                    }
                }
            }
        }
    }
}
