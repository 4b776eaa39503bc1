//! A transaction sees the store with its own changes over it, as a map would.

use emberfs_meta_server_state::transaction::MemoryStore;
use emberfs_meta_server_state::{Overlay, Transaction, View};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{applied_at, open, options};
use crate::store::StateView;

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, u8),
    Delete(Vec<u8>),
    Commit,
    Abandon,
    Scan(Vec<u8>, Vec<u8>, usize),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(b'a'..=b'c', 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => key().prop_map(Step::Delete),
        1 => Just(Step::Commit),
        1 => Just(Step::Abandon),
        3 => (key(), key(), 0..9_usize).prop_map(|(from, to, limit)| Step::Scan(from, to, limit)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_transaction_is_a_map(steps in prop::collection::vec(step(), 1..80)) {
        let dir = TempDir::new().unwrap();
        let stores = open(&options(dir.path())).unwrap();
        let (mut kept, mut seen) = (MemoryStore::default(), MemoryStore::default());
        let mut transaction = Overlay::new(&stores.state);
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    transaction.put(&key, &[value]);
                    seen.put(&key, &[value]);
                }
                Step::Delete(key) => {
                    transaction.delete(&key);
                    seen.delete(&key);
                }
                Step::Commit => {
                    stores.state.commit(transaction.into_changes(), applied_at(1)).unwrap();
                    kept = seen.clone();
                    transaction = Overlay::new(&stores.state);
                }
                Step::Abandon => {
                    seen = kept.clone();
                    transaction = Overlay::new(&stores.state);
                }
                Step::Scan(from, to, limit) => {
                    prop_assert_eq!(transaction.scan(&from, &to, limit), seen.scan(&from, &to, limit));
                    let look = |view: &StateView<'_>| {
                        Ok((view.scan(&from, &to, limit)?, view.get(&to)?))
                    };
                    let view = stores.state.read(look).unwrap();
                    prop_assert_eq!(view.0, kept.scan(&from, &to, limit).unwrap());
                    prop_assert_eq!(transaction.get(&from), seen.get(&from));
                    prop_assert_eq!(view.1, kept.get(&to).unwrap());
                }
            }
        }
    }
}

#[test]
fn a_view_stays_as_it_was_and_shows_no_record_of_the_store() {
    let dir = TempDir::new().unwrap();
    let stores = open(&options(dir.path())).unwrap();
    let all = |view: &StateView<'_>| view.scan(b"", b"z", 9);
    let before = |view: &StateView<'_>| {
        let mut transaction = Overlay::new(&stores.state);
        transaction.put(b"a", b"1");
        stores.state.commit(transaction.into_changes(), applied_at(1)).unwrap();
        all(view)
    };
    assert_eq!(stores.state.read(before), Ok(Vec::new()));
    let pair = (b"a".to_vec(), b"1".to_vec());
    assert_eq!(stores.state.read(all), Ok(vec![pair]));
}
