//! Which blocks of the data file are free.
//!
//! ```text
//!   file      | region 0 | region 1 | region 2 | ...          all of one length, grown one by one
//!   region    of no class: free   |   of a class: 4, 16 or 64 KiB blocks, one bit each
//! ```
//!
//! A region takes blocks of one size from the first that is allocated in it until the last is freed, so
//! blocks need no place in a file that has become full of holes of the wrong size. Allocation takes
//! the emptiest region of the class where that has room for all, else a free region, else what there is:
//! so writes lie together while the disk is not full.
//!
//! Some blocks of each class in use can be kept free ([`Allocator::allocate`]): in its own regions, or in a free
//! region that no other class may open then.
//!
//! Bitmaps live in memory alone; at a start they are marked from the records.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use emberfs_layout::{BlockSize, ByteLen};

use crate::map::{Place, UNIT, units};

/// The free blocks of a data file.
#[derive(Debug)]
pub(crate) struct Allocator {
    region_units: u64,
    regions: Vec<Region>,
    /// Regions of no class.
    free: BTreeSet<usize>,
    /// Regions of a class that have room, emptiest first.
    partial: BTreeSet<(BlockSize, Reverse<u32>, usize)>,
    /// Classes that have had a region.
    classes: BTreeMap<BlockSize, Class>,
}

/// The regions of a class, in bytes.
#[derive(Debug, Default)]
struct Class {
    spare: u64,
    used: u64,
}

#[derive(Debug, Default)]
struct Region {
    class: Option<BlockSize>,
    /// A set bit is a block in use.
    bits: Vec<u64>,
    used: u32,
    blocks: u32,
}

impl Region {
    fn room(&self) -> u32 {
        self.blocks - self.used
    }

    fn bit(&mut self, block: u32) -> (&mut u64, u64) {
        (&mut self.bits[block as usize / 64], 1 << (block % 64))
    }

    /// The first free block at or after `from`.
    fn first_free(&self, from: u32) -> Option<u32> {
        let mut word = from as usize / 64;
        let mut taken = *self.bits.get(word)? | ((1 << (from % 64)) - 1);
        while taken == u64::MAX {
            word += 1;
            taken = *self.bits.get(word)?;
        }
        let block = u32::try_from(word).expect("few words") * 64 + taken.trailing_ones();
        (block < self.blocks).then_some(block)
    }
}

impl Class {
    fn takes(&mut self, bytes: u64) {
        self.spare -= bytes;
        self.used += bytes;
    }

    fn gives_back(&mut self, bytes: u64) {
        self.used -= bytes;
        self.spare += bytes;
    }
}

impl Allocator {
    /// For a file of these regions, all free.
    pub(crate) fn new(region: ByteLen, regions: usize) -> Self {
        let region_units = region.get() / UNIT;
        let (free, partial, classes) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        let mut new = Self { region_units, regions: Vec::new(), free, partial, classes };
        new.add_regions(regions);
        new
    }

    /// More regions, free.
    pub(crate) fn add_regions(&mut self, count: usize) {
        let first = self.regions.len();
        self.regions.resize_with(first + count, Region::default);
        self.free.extend(first..first + count);
    }

    pub(crate) fn region_len(&self) -> ByteLen {
        ByteLen(self.region_units * UNIT)
    }

    pub(crate) fn regions(&self) -> usize {
        self.regions.len()
    }

    /// How many regions are of no class.
    pub(crate) fn free_regions(&self) -> usize {
        self.free.len()
    }

    /// How many bytes of blocks are in use.
    pub(crate) fn used(&self) -> ByteLen {
        ByteLen(self.classes.values().map(|class| class.used).sum())
    }

    /// How many bytes of blocks of this size can be taken.
    pub(crate) fn room(&self, block: BlockSize) -> ByteLen {
        self.room_in(block, self.free.len())
    }

    /// The same, with so many regions of no class.
    fn room_in(&self, block: BlockSize, free: usize) -> ByteLen {
        let spare = self.classes.get(&block).map_or(0, |class| class.spare);
        ByteLen(spare + free as u64 * self.region_units * UNIT)
    }

    /// Takes `count` blocks of this size, as near to each other as they are to be had; `None`, and none
    /// taken, if there are not so many, or `kept` of this and of each other size in use are not left then.
    pub(crate) fn allocate(
        &mut self,
        block: BlockSize,
        count: u32,
        kept: u32,
    ) -> Option<Vec<Place>> {
        let bytes = |class: BlockSize, count: u32| u64::from(count) * u64::from(class.bytes());
        let lacking = |(class, state): (&BlockSize, &Class)| match state.used {
            0 => 0,
            _ if *class == block => 0,
            _ => bytes(*class, kept).saturating_sub(state.spare),
        };
        let region = self.region_units * UNIT;
        let others = self.classes.iter().map(lacking).map(|bytes| bytes.div_ceil(region));
        let others = usize::try_from(others.sum::<u64>()).unwrap_or(usize::MAX);
        let may_open = self.free.len().saturating_sub(others);
        if self.room_in(block, may_open).get() < bytes(block, count) + bytes(block, kept) {
            return None;
        }
        let left_free = self.free.len() - may_open;
        let mut places = Vec::with_capacity(count as usize);
        while let Some(missing) = count.checked_sub(narrow(places.len())).filter(|n| *n > 0) {
            let region = self.choose(block, missing, left_free).expect("it was counted");
            self.fill(region, missing, block, &mut places);
        }
        Some(places)
    }

    /// The region to take blocks from next, with `left_free` that stay of no class.
    fn choose(&mut self, block: BlockSize, missing: u32, left_free: usize) -> Option<usize> {
        let of_class = (block, Reverse(u32::MAX), 0)..=(block, Reverse(0), usize::MAX);
        let emptiest =
            self.partial.range(of_class).next().map(|(_, room, region)| (room.0, *region));
        match (emptiest, self.free.first().filter(|_| self.free.len() > left_free)) {
            (Some((room, region)), free) if room >= missing || free.is_none() => Some(region),
            (_, Some(region)) => {
                let region = *region;
                self.open(region, block);
                Some(region)
            }
            (emptiest, None) => emptiest.map(|(_, region)| region),
        }
    }

    /// Gives a free region a class.
    fn open(&mut self, region: usize, block: BlockSize) {
        assert!(self.free.remove(&region), "region {region} is not free");
        let blocks = u32::try_from(self.region_units / units(block)).expect("regions are small");
        let bits = vec![0; blocks.div_ceil(64) as usize];
        self.regions[region] = Region { class: Some(block), bits, used: 0, blocks };
        self.partial.insert((block, Reverse(blocks), region));
        self.class(block).spare += u64::from(blocks) * u64::from(block.bytes());
    }

    fn class(&mut self, block: BlockSize) -> &mut Class {
        self.classes.entry(block).or_default()
    }

    /// Takes up to `count` blocks of a region, in order.
    fn fill(&mut self, region: usize, count: u32, block: BlockSize, places: &mut Vec<Place>) {
        let first = region as u64 * self.region_units;
        let found = &mut self.regions[region];
        self.partial.remove(&(block, Reverse(found.room()), region));
        let count = count.min(found.room());
        let mut next = 0;
        for _ in 0..count {
            let free = found.first_free(next).expect("the region has that much room");
            let (word, bit) = found.bit(free);
            *word |= bit;
            places.push(Place(first + u64::from(free) * units(block)));
            next = free + 1;
        }
        found.used += count;
        let bytes = u64::from(count) * u64::from(block.bytes());
        if found.room() > 0 {
            self.partial.insert((block, Reverse(found.room()), region));
        }
        self.class(block).takes(bytes);
    }

    /// Marks a block as in use, at a start.
    ///
    /// # Errors
    /// `false` if it is outside the file, in use already, or of another size than its neighbours.
    #[must_use]
    pub(crate) fn mark(&mut self, place: Place, block: BlockSize) -> bool {
        let Some((region, within)) = self.find(place) else { return false };
        if self.free.contains(&region) {
            self.open(region, block);
        }
        let found = &mut self.regions[region];
        if found.class != Some(block) || within % units(block) != 0 {
            return false;
        }
        let room = found.room();
        let (word, bit) = found.bit(narrow_u64(within / units(block)));
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        found.used += 1;
        self.partial.remove(&(block, Reverse(room), region));
        if room > 1 {
            self.partial.insert((block, Reverse(room - 1), region));
        }
        self.class(block).takes(u64::from(block.bytes()));
        true
    }

    /// Gives a block back.
    ///
    /// # Panics
    /// When it is not in use.
    pub(crate) fn free(&mut self, place: Place) {
        let (region, within) = self.find(place).expect("a block of this file");
        let found = &mut self.regions[region];
        let block = found.class.expect("a block in use is in a region of its size");
        let room = found.room();
        let (word, bit) = found.bit(narrow_u64(within / units(block)));
        assert!(*word & bit != 0 && within % units(block) == 0, "{place:?} is freed twice");
        *word &= !bit;
        found.used -= 1;
        self.partial.remove(&(block, Reverse(room), region));
        let class = self.classes.entry(block).or_default();
        class.gives_back(u64::from(block.bytes()));
        if found.used == 0 {
            class.spare -= u64::from(found.blocks) * u64::from(block.bytes());
            *found = Region::default();
            self.free.insert(region);
        } else {
            self.partial.insert((block, Reverse(room + 1), region));
        }
    }

    /// The blocks in use, by region.
    #[cfg(test)]
    pub(crate) fn marks(&self) -> Vec<(usize, Option<BlockSize>, Vec<u64>)> {
        let taken = self.regions.iter().enumerate().filter(|(_, region)| region.used > 0);
        taken.map(|(number, region)| (number, region.class, region.bits.clone())).collect()
    }

    /// The region of a place, and how far into it the place is; `None` outside the file.
    fn find(&self, place: Place) -> Option<(usize, u64)> {
        let region = usize::try_from(place.0 / self.region_units).ok()?;
        (region < self.regions.len()).then_some((region, place.0 % self.region_units))
    }
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).expect("a chunk has few blocks")
}

fn narrow_u64(value: u64) -> u32 {
    u32::try_from(value).expect("regions are small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const REGION: ByteLen = ByteLen(256 << 10);
    /// Blocks of each size that allocation leaves (a count).
    const KEPT: u32 = 3;

    fn size(class: u8) -> BlockSize {
        BlockSize::new(4096 << (2 * class)).expect("one of three")
    }

    #[test]
    fn blocks_of_a_write_lie_together() {
        let mut allocator = Allocator::new(REGION, 2);
        let places = allocator.allocate(size(0), 64, 0).expect("room");
        assert!(places.iter().zip(0..).all(|(place, i)| *place == Place(i)));
        assert_eq!(allocator.allocate(size(1), 16, 0).expect("room")[0], Place(64));
        assert_eq!(allocator.allocate(size(0), 1, 0), None);
        allocator.free(Place(64));
        assert_eq!(allocator.allocate(size(0), 1, 0), None, "a region of other blocks");
        assert_eq!(allocator.allocate(size(1), 2, 0), None);
        assert_eq!(allocator.allocate(size(1), 1, 0), Some(vec![Place(64)]));
    }

    #[test]
    fn what_cannot_be_is_not_marked() {
        let mut allocator = Allocator::new(REGION, 1);
        assert!(allocator.mark(Place(16), size(1)));
        assert!(!allocator.mark(Place(16), size(1)), "twice");
        assert!(!allocator.mark(Place(21), size(1)), "off its grid");
        assert!(!allocator.mark(Place(20), size(0)), "of another size");
        assert!(!allocator.mark(Place(64), size(1)), "outside");
        assert_eq!(allocator.used(), ByteLen(16_384));
    }

    proptest! {
        /// A map of what was given out, marked in a second allocator as at a start, agrees throughout.
        #[test]
        fn nothing_is_given_out_twice_or_lost(
            steps in prop::collection::vec((0_u8..3, 1_u32..70, any::<prop::sample::Index>()), 1..80),
        ) {
            let mut allocator = Allocator::new(REGION, 6);
            let mut held: BTreeMap<Place, BlockSize> = BTreeMap::new();
            let mut kept = Vec::new();
            for (class, count, pick) in steps {
                if let Some(places) = allocator.allocate(size(class), count, KEPT) {
                    prop_assert_eq!(places.len(), count as usize);
                    for place in places {
                        let end = place.after(size(class));
                        prop_assert!(held.range(place..end).next().is_none());
                        held.insert(place, size(class));
                    }
                } else {
                    for _ in 0..count.min(u32::try_from(held.len()).expect("few")) {
                        let place = *held.keys().nth(pick.index(held.len())).expect("not empty");
                        held.remove(&place);
                        allocator.free(place);
                    }
                }
                // Whatever is full by now: each size in use still has some, taken one by one.
                for class in held.values().copied().collect::<BTreeSet<_>>() {
                    for _ in 0..KEPT {
                        let place = allocator.allocate(class, 1, 0);
                        prop_assert!(place.is_some(), "none is left of {class:?}");
                        kept.extend(place.into_iter().flatten());
                    }
                }
                kept.drain(..).for_each(|place| allocator.free(place));
                let bytes = held.values().map(|block| u64::from(block.bytes())).sum();
                prop_assert_eq!(allocator.used(), ByteLen(bytes));
                for class in (0..3).map(size) {
                    let room = allocator.room(class);
                    let blocks = u32::try_from(room.get()).expect("small") / class.bytes();
                    let mut full = Allocator::new(REGION, 6);
                    prop_assert!(held.iter().all(|(place, block)| full.mark(*place, *block)));
                    prop_assert!(full.allocate(class, blocks + 1, 0).is_none());
                    prop_assert!(full.allocate(class, blocks, 0).is_some());
                }
            }
            let mut reopened = Allocator::new(REGION, 6);
            prop_assert!(held.iter().all(|(place, block)| reopened.mark(*place, *block)));
            let had_a_region = |class: &Class| class.used + class.spare > 0;
            allocator.classes.retain(|_, class| had_a_region(class));
            reopened.classes.retain(|_, class| had_a_region(class));
            prop_assert_eq!(format!("{:?}", reopened), format!("{:?}", allocator));
        }
    }
}
