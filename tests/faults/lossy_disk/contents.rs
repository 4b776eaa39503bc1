//! The bytes of one file: as its users see them, and as they are on the medium.
//!
//! Both are maps of pages; a page of zeros is in none. A sync copies what was touched since the last one from
//! the one to the other. A loss of power copies back, sector by sector as luck decides: so a write may be
//! torn, and a later one survive an earlier.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::luck::Luck;

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Bytes that a medium writes as a whole.
pub(crate) const SECTOR: usize = 512;

type Page = Arc<[u8; PAGE]>;

/// One picture of a file.
#[derive(Clone, Debug, Default)]
struct Picture {
    pages: BTreeMap<u64, Page>,
    len: u64,
}

impl Picture {
    fn page(&self, number: u64) -> [u8; PAGE] {
        self.pages.get(&number).map_or([0; PAGE], |page| **page)
    }

    fn put(&mut self, number: u64, page: [u8; PAGE]) {
        if page == [0; PAGE] {
            self.pages.remove(&number);
        } else {
            self.pages.insert(number, Arc::new(page));
        }
    }
}

/// A file's bytes.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    seen: Picture,
    kept: Picture,
    /// Pages that the two may not have in common.
    touched: BTreeSet<u64>,
}

impl Contents {
    /// How long the file is, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.seen.len
    }

    /// The bytes from `at` on: `len` of them, or as many as there are.
    pub(crate) fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let end = self.seen.len.min(at.saturating_add(len as u64));
        let mut read = Vec::with_capacity(len);
        for (number, range) in pages(at, end) {
            match self.seen.pages.get(&number) {
                Some(page) => read.extend_from_slice(&page[range]),
                None => read.resize(read.len() + range.len(), 0),
            }
        }
        read
    }

    /// Writes bytes at `at`; the file grows as needed.
    pub(crate) fn write(&mut self, at: u64, mut bytes: &[u8]) {
        let end = at + bytes.len() as u64;
        for (number, range) in pages(at, end) {
            let (part, rest) = bytes.split_at(range.len());
            bytes = rest;
            let mut page = self.seen.page(number);
            page[range].copy_from_slice(part);
            self.seen.put(number, page);
            self.touched.insert(number);
        }
        self.seen.len = self.seen.len.max(end);
    }

    /// Cuts the file or lengthens it with zeros.
    pub(crate) fn set_len(&mut self, len: u64) {
        let behind = self.seen.pages.split_off(&len.div_ceil(PAGE as u64));
        self.touched.extend(behind.into_keys());
        let (last, cut) = (len / PAGE as u64, (len % PAGE as u64) as usize);
        if self.seen.pages.contains_key(&last) {
            let mut page = self.seen.page(last);
            page[cut..].fill(0);
            self.seen.put(last, page);
            self.touched.insert(last);
        }
        self.seen.len = len;
    }

    /// Makes all of it durable.
    pub(crate) fn sync(&mut self) {
        for number in std::mem::take(&mut self.touched) {
            match self.seen.pages.get(&number) {
                Some(page) => self.kept.pages.insert(number, page.clone()),
                None => self.kept.pages.remove(&number),
            };
        }
        self.kept.len = self.seen.len;
    }

    /// The power is gone, and on again.
    pub(crate) fn lose(&mut self, luck: &mut Luck) {
        for number in std::mem::take(&mut self.touched) {
            let (mut kept, seen) = (self.kept.page(number), self.seen.page(number));
            for sector in (0..PAGE).step_by(SECTOR).map(|start| start..start + SECTOR) {
                if luck.keeps() {
                    kept[sector.clone()].copy_from_slice(&seen[sector]);
                }
            }
            self.kept.put(number, kept);
        }
        let len = if luck.keeps() { self.seen.len } else { self.kept.len };
        self.seen = self.kept.clone();
        // What lies behind the end is not there, whatever the medium has there.
        self.set_len(len);
        self.sync();
    }
}

/// The pages between two places, each with the part of it that is between them.
fn pages(from: u64, to: u64) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let size = PAGE as u64;
    (from / size..to.div_ceil(size).max(from / size)).filter_map(move |number| {
        let start = from.max(number * size) - number * size;
        let end = to.min((number + 1) * size).saturating_sub(number * size);
        (start < end).then_some((number, start as usize..end as usize))
    })
}
