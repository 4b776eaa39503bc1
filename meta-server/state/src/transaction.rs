//! The ordered key-value store as operations see it.
//!
//! A [`View`] is a consistent picture; a [`Transaction`] is a view that also sees its own writes. What an
//! operation wrote takes effect as a whole or not at all: that is the caller's affair, who also says
//! when. In tests and simulations a sorted map is a whole store ([`MemoryStore`]). An [`Overlay`] gathers
//! changes above a view, so that they can be dropped, or put into a store as one.
//!
//! Operations take `&dyn View` and `&mut dyn Transaction`: one compiled copy, whatever the store is.

use std::collections::BTreeMap;
use std::ops::Bound;

use minicbor::{Decode, Encode};
use thiserror::Error;

/// The store cannot be read or holds what this build does not understand: the member must stop, as it
/// can no longer follow the others.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The store itself failed.
    #[error("the metadata store failed: {text}")]
    Failed {
        /// What it said.
        text: String,
    },
    /// A record that does not decode.
    #[error("a damaged {what} record at key {}: {text}", .key.escape_ascii())]
    Damaged {
        /// The expected type.
        what: &'static str,
        /// Where it stands.
        key: Vec<u8>,
        /// What is wrong with it.
        text: String,
    },
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// A consistent picture of the store.
pub trait View {
    /// The value at `key`.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The pairs from `from` (included) to `to` (excluded), in the order of keys, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError>;
}

/// A view that can be changed, and sees its own changes.
pub trait Transaction: View {
    /// Sets the value at `key`.
    fn put(&mut self, key: &[u8], value: &[u8]);

    /// Removes the value at `key`, if there is one.
    fn delete(&mut self, key: &[u8]);
}

/// A whole store in memory: every change takes effect at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl View for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.pairs.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let pairs = self.pairs.range::<[u8], _>(range).take(limit);
        Ok(pairs.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl Transaction for MemoryStore {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.pairs.insert(key.to_owned(), value.to_owned());
    }

    fn delete(&mut self, key: &[u8]) {
        self.pairs.remove(key);
    }
}

/// Changes that are gathered above a view, which they do not touch.
pub struct Overlay<'a> {
    base: &'a dyn View,
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// What an [`Overlay`] gathered: each key once, in order, with its new value or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(pub BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl<'a> Overlay<'a> {
    /// Nothing changed yet.
    #[must_use]
    pub fn new(base: &'a dyn View) -> Self {
        Self { base, changes: BTreeMap::new() }
    }

    /// What was changed; lets go of the view.
    #[must_use]
    pub fn into_changes(self) -> Changes {
        Changes(self.changes)
    }
}

impl Changes {
    /// Makes them in `txn`.
    pub fn apply(self, txn: &mut dyn Transaction) {
        for (key, value) in self.0 {
            match value {
                Some(value) => txn.put(&key, &value),
                None => txn.delete(&key),
            }
        }
    }
}

impl View for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let changed = self.changes.range::<[u8], _>(range);
        // Each change hides at most one pair below.
        let below = self.base.scan(from, to, limit.saturating_add(changed.clone().count()))?;
        let mut merged: BTreeMap<_, _> = below.into_iter().map(|(k, v)| (k, Some(v))).collect();
        merged.extend(changed.map(|(key, value)| (key.clone(), value.clone())));
        let present = merged.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Ok(present.take(limit).collect())
    }
}

impl Transaction for Overlay<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.changes.insert(key.to_owned(), Some(value.to_owned()));
    }

    fn delete(&mut self, key: &[u8]) {
        self.changes.insert(key.to_owned(), None);
    }
}

/// The record at `key`.
///
/// # Errors
/// [`StoreError`] if the store fails or the value is no such record.
pub fn get_record<T>(view: &dyn View, key: &[u8]) -> Result<Option<T>, StoreError>
where
    T: for<'b> Decode<'b, ()>,
{
    view.get(key)?.map(|value| decode_record(key, &value)).transpose()
}

/// The records from `from` (included) to `to` (excluded), in the order of keys, at most `limit`.
///
/// # Errors
/// [`StoreError`] if the store fails or a value is no such record.
pub fn scan_records<T>(
    view: &dyn View,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> Result<Vec<T>, StoreError>
where
    T: for<'b> Decode<'b, ()>,
{
    let pairs = view.scan(from, to, limit)?;
    pairs.iter().map(|(key, value)| decode_record(key, value)).collect()
}

/// The record in a value that was read at `key`.
///
/// # Errors
/// [`StoreError::Damaged`] if it is no such record.
pub fn decode_record<T>(key: &[u8], value: &[u8]) -> Result<T, StoreError>
where
    T: for<'b> Decode<'b, ()>,
{
    emberfs_wire::decode(value).map_err(|error| damaged::<T>(key, error.to_string()))
}

/// Says that what stands at `key` contradicts the rest of the store.
#[must_use]
pub fn damaged<T>(key: &[u8], text: impl Into<String>) -> StoreError {
    let name = std::any::type_name::<T>();
    let what = name.rsplit("::").next().unwrap_or(name);
    StoreError::Damaged { what, key: key.to_owned(), text: text.into() }
}

/// Sets the record at `key`.
pub fn put_record<T: Encode<()>>(txn: &mut dyn Transaction, key: &[u8], record: &T) {
    let mut value = Vec::new();
    emberfs_wire::encode(record, &mut value);
    txn.put(key, &value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_in_order_and_ends_before_its_end() {
        let mut store = MemoryStore::default();
        for key in ["a1", "a3", "a2", "b"] {
            store.put(key.as_bytes(), b"v");
        }
        store.delete(b"a3");
        let keys = |from: &[u8], to: &[u8], limit| -> Vec<Vec<u8>> {
            let pairs = store.scan(from, to, limit).expect("memory");
            pairs.into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(b"a", b"b", 9), [b"a1".to_vec(), b"a2".to_vec()]);
        assert_eq!(keys(b"a", b"z", 1), [b"a1".to_vec()]);
        assert!(keys(b"b", b"a", 9).is_empty());
        assert_eq!(store.get(b"a3"), Ok(None));
    }

    #[test]
    fn an_overlay_is_the_view_with_its_changes() {
        let mut store = MemoryStore::default();
        for key in [b"a", b"b", b"c", b"d"] {
            store.put(key, b"old");
        }
        let before = store.clone();
        let mut overlay = Overlay::new(&store);
        overlay.delete(b"a");
        overlay.delete(b"c");
        overlay.put(b"b", b"new");
        overlay.put(b"bb", b"new");
        let scanned = overlay.scan(b"a", b"z", 3).expect("memory");
        assert_eq!(overlay.get(b"a"), Ok(None));
        let changes = overlay.into_changes();
        assert_eq!(store, before, "the view is not touched");
        changes.apply(&mut store);
        assert_eq!(store.scan(b"a", b"z", 3).expect("memory"), scanned);
        assert_eq!(scanned.len(), 3);
    }

    #[test]
    fn what_is_no_record_is_damaged() {
        let mut store = MemoryStore::default();
        put_record(&mut store, b"k", &7_u64);
        assert_eq!(get_record::<u64>(&store, b"k"), Ok(Some(7)));
        let error = get_record::<String>(&store, b"k").expect_err("a number");
        assert!(matches!(error, StoreError::Damaged { what: "String", .. }), "{error}");
    }
}
