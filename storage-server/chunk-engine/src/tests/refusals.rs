//! What is not done, and changes nothing: on failing disks, and where it does not fit.

use emberfs_layout::{ByteLen, ChunkSize};

use super::models::{KEY, OTHER, SIZE, model, read_all, remove, write};
use super::reference::PlainVersion;
use super::run;
use super::steps::{bytes, observe};
use crate::disk::DiskAction;
use crate::{EngineError, Installed};

#[test]
fn a_failed_write_changes_nothing_and_a_failed_sync_ends_writing() {
    run(async {
        let (engine, disk) = model().await;
        engine.put(KEY, write(1, 0, bytes(1, 9000), true)).await.expect("room");
        let used = engine.usage().used;
        disk.fail(Some(DiskAction::Write));
        let failed = engine.put(KEY, write(2, 0, vec![2; 9000], true)).await;
        assert!(matches!(failed, Err(EngineError::Disk(_))), "{failed:?}");
        assert_eq!(engine.usage().used, used);
        disk.fail(Some(DiskAction::Sync));
        for version in [3, 4] {
            let failed = engine.put(KEY, write(version, 0, vec![2; 9000], true)).await;
            assert!(matches!(failed, Err(EngineError::Failed)), "{failed:?}");
        }
        disk.fail(None);
        assert!(matches!(engine.put(OTHER, remove(1)).await, Err(EngineError::Failed)));
        assert!(matches!(engine.flush().await, Err(EngineError::Failed)));
        assert_eq!(read_all(&engine, KEY).await.expect("reads go on"), bytes(1, 9000));
        assert!(engine.close().await.is_err());
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    run(async {
        let (engine, _) = model().await;
        engine.put(KEY, write(5, 0, vec![1; 10], true)).await.expect("room");
        let refused = |new| engine.put(KEY, new);
        let stale = refused(write(5, 0, vec![2; 10], true)).await;
        assert!(matches!(stale, Err(EngineError::Stale { .. })), "{stale:?}");
        let long = refused(write(6, 60_000, vec![2; 10_000], true)).await;
        assert!(matches!(long, Err(EngineError::TooLong { .. })), "{long:?}");
        let mut other = write(6, 0, vec![2; 10], true);
        other.chunk_size = ChunkSize::DEFAULT;
        let other = refused(other).await;
        assert!(matches!(other, Err(EngineError::OtherSize { .. })), "{other:?}");
        let wanted =
            PlainVersion { version: 9, bytes: vec![3; 10], removed: false, tags: Vec::new() };
        let data = super::steps::payload(0, &[4; 10], true, SIZE);
        let state = wanted.state(SIZE);
        let (tags, data) = (Vec::new(), Some(data));
        let installed = Installed { state, chunk_size: SIZE, tags, data };
        let used = engine.usage().used;
        let other = engine.install(KEY, installed).await;
        assert!(matches!(other, Err(EngineError::OtherDigest { .. })), "{other:?}");
        assert_eq!(engine.usage().used, used, "the new blocks are free again");
        assert_eq!(read_all(&engine, KEY).await.expect("as before"), [1; 10]);
    });
}

#[test]
fn an_older_version_can_be_installed_over_a_newer() {
    run(async {
        let (engine, _) = model().await;
        engine.put(KEY, write(8, 0, bytes(1, 30_000), true)).await.expect("room");
        engine.put(KEY, write(9, 100, vec![2; 10], false)).await.expect("room");
        let wanted =
            PlainVersion { version: 4, bytes: Vec::new(), removed: false, tags: Vec::new() };
        let state = wanted.state(SIZE);
        let installed = Installed { state, chunk_size: SIZE, tags: Vec::new(), data: None };
        engine.install(KEY, installed).await.expect("an empty chunk");
        let found = observe(&engine, KEY, SIZE.log2()).await;
        assert_eq!((found.committed, found.pending), (Some(wanted), None));
        engine.flush().await.expect("nothing fails");
        assert_eq!(engine.usage().used, ByteLen(0));
    });
}
