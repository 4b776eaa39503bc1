//! Records in memory: a crash loses some of the last batches that were not synced.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use super::Power;
use crate::records::{Key, RecordChange, Records, RecordsError, Value};

/// Records in memory; clones are the same ones.
#[derive(Clone, Debug)]
pub struct ModelRecords {
    power: Power,
    state: Rc<RefCell<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    durable: BTreeMap<Key, Value>,
    current: BTreeMap<Key, Value>,
    unsynced: Vec<Vec<RecordChange>>,
}

impl ModelRecords {
    /// No records.
    #[must_use]
    pub fn new(power: Power) -> Self {
        Self { power, state: Rc::default() }
    }

    /// How many batches are not synced.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.state.borrow().unsynced.len()
    }

    /// The records that are found after a crash, with the first `kept` of the batches that were not
    /// synced, on other power.
    #[must_use]
    pub fn after_crash(&self, power: Power, kept: usize) -> Self {
        let State { mut durable, unsynced, .. } = self.state.borrow().clone();
        unsynced.iter().take(kept).for_each(|batch| apply(&mut durable, batch));
        let state = State { current: durable.clone(), durable, unsynced: Vec::new() };
        Self { power, state: Rc::new(RefCell::new(state)) }
    }
}

fn apply(records: &mut BTreeMap<Key, Value>, batch: &[RecordChange]) {
    for change in batch {
        match change {
            RecordChange::Put(key, value) => {
                records.insert(key.clone(), value.clone());
            }
            RecordChange::Delete(key) => {
                records.remove(key);
            }
        }
    }
}

impl Records for ModelRecords {
    async fn get(&self, key: Key) -> Result<Option<Value>, RecordsError> {
        let found = self.state.borrow().current.get(&key).cloned();
        self.power.step().await;
        Ok(found)
    }

    async fn scan(&self, after: Key, limit: usize) -> Result<Vec<(Key, Value)>, RecordsError> {
        self.power.step().await;
        let state = self.state.borrow();
        let later = state.current.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(later.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    async fn apply(&self, changes: Vec<RecordChange>, durable: bool) -> Result<(), RecordsError> {
        {
            let mut state = self.state.borrow_mut();
            apply(&mut state.current, &changes);
            state.unsynced.push(changes);
        }
        self.power.step().await;
        if durable {
            let mut state = self.state.borrow_mut();
            let State { durable, unsynced, .. } = &mut *state;
            unsynced.drain(..).for_each(|batch| apply(durable, &batch));
        }
        self.power.step().await;
        Ok(())
    }
}
