//! What cannot be applied ends the group, and everybody hears of it.

use tempfile::TempDir;

use super::ledger::{BOMB, POISON, lines, start_plain};
use crate::group::GroupError;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_fails_or_panics_ends_the_group_for_all() {
    for (order, words) in [(POISON, "poisoned"), (BOMB, "panicked")] {
        let dir = TempDir::new().unwrap();
        let group = start_plain(dir.path()).await;
        group.propose("good".to_owned()).await.unwrap();
        let others: Vec<_> = (0..8)
            .map(|_| {
                let group = group.clone();
                tokio::spawn(async move {
                    // Until it fails: a group that has failed never says that it did not.
                    loop {
                        if let Err(error) = group.propose("more".to_owned()).await {
                            return error;
                        }
                    }
                })
            })
            .collect();
        let failed = |error: &GroupError| matches!(error, GroupError::Failed { text } if text.contains(words));
        let error = group.propose(order.to_owned()).await.unwrap_err();
        assert!(failed(&error), "{error}");
        for other in others {
            let error = other.await.unwrap();
            assert!(failed(&error), "{error}");
        }
        assert!(failed(&group.ended().await.unwrap_err()));
        assert!(failed(&group.stop().await.unwrap_err()));
        assert!(group.read(lines).await.is_err());
    }
}
