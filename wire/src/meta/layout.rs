//! Changes of what a directory says of new files in it.

use emberfs_layout::{ChunkSize, DirectoryLayout, StripeWidth, TableId};
use minicbor::{Decode, Encode};

/// What a setting of a directory becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Setting<T> {
    /// As the cluster says.
    #[n(0)]
    Default,
    /// This.
    #[n(1)]
    Is(#[n(0)] T),
}

/// Settings to be changed; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct LayoutChange {
    /// First takes all settings from the directory that it is in, as they are now; the root's become the cluster's.
    #[n(0)]
    pub inherit: bool,
    /// Size of the chunks.
    #[n(1)]
    pub chunk_size: Option<Setting<ChunkSize>>,
    /// Over how many chains.
    #[n(2)]
    pub stripe: Option<Setting<StripeWidth>>,
    /// Over which table.
    #[n(3)]
    pub table: Option<Setting<TableId>>,
}

impl<T> Setting<T> {
    fn value(self) -> Option<T> {
        match self {
            Self::Default => None,
            Self::Is(value) => Some(value),
        }
    }
}

impl LayoutChange {
    /// What becomes of a directory's settings; `above` are those of the one that it is in.
    #[must_use]
    pub fn apply(&self, own: DirectoryLayout, above: DirectoryLayout) -> DirectoryLayout {
        let before = if self.inherit { above } else { own };
        DirectoryLayout {
            chunk_size: self.chunk_size.map_or(before.chunk_size, Setting::value),
            stripe: self.stripe.map_or(before.stripe, Setting::value),
            table: self.table.map_or(before.table, Setting::value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays_or_is_inherited() {
        let own = DirectoryLayout { table: Some(TableId(1)), ..Default::default() };
        let stripe = StripeWidth::new(4).ok();
        let above = DirectoryLayout { table: Some(TableId(2)), stripe, ..Default::default() };
        let change = LayoutChange::default();
        assert_eq!(change.apply(own, above), own);
        let inherit = LayoutChange { inherit: true, ..change };
        assert_eq!(inherit.apply(own, above), above);
        let size = LayoutChange { chunk_size: Some(Setting::Is(ChunkSize::MAX)), ..inherit };
        let chunk_size = Some(ChunkSize::MAX);
        assert_eq!(size.apply(own, above), DirectoryLayout { chunk_size, ..above });
        let none = LayoutChange { table: Some(Setting::Default), ..inherit };
        assert_eq!(none.apply(own, above), DirectoryLayout { table: None, ..above });
    }
}
