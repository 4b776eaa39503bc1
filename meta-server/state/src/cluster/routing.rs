//! What changed in the routing since a version, in pages.

use emberfs_layout::RoutingVersion;
use emberfs_wire::cluster::RoutingDelta;
use emberfs_wire::limits::{MESSAGE_BYTES_MAX, ROUTING_PAGE_MAX};

use super::records::{ChainRecord, DiskRecord, Item, NodeRecord, TableRecord, counters, log_key};
use crate::keys::{Kind, end_of, key};
use crate::transaction::{StoreError, View, damaged, decode_record};

/// A page ends once its records take this many bytes, so that it leaves room in a message for the
/// largest table and for what else the message carries.
const PAGE_BYTES: usize = MESSAGE_BYTES_MAX as usize / 4;

/// The routing's version.
///
/// # Errors
/// [`StoreError`].
pub fn routing_version(view: &dyn View) -> Result<RoutingVersion, StoreError> {
    Ok(counters(view)?.routing)
}

/// A page of what changed after `since`: everything, from [`RoutingVersion::NONE`] on. Whoever has a
/// later version than there is gets nothing.
///
/// # Errors
/// [`StoreError`].
pub fn routing_since(view: &dyn View, since: RoutingVersion) -> Result<RoutingDelta, StoreError> {
    let mut delta = RoutingDelta { version: since, ..RoutingDelta::default() };
    if since >= routing_version(view)? {
        return Ok(delta);
    }
    let end = end_of(&key(Kind::RoutingChange, &[]));
    let changes = view.scan(&log_key(since.next()), &end, ROUTING_PAGE_MAX + 1)?;
    let mut bytes = 0;
    for (place, (at, item)) in changes.iter().enumerate() {
        if place == ROUTING_PAGE_MAX || bytes >= PAGE_BYTES {
            delta.more = true;
            break;
        }
        let (len, version) = add(view, &mut delta, decode_record(at, item)?)?;
        debug_assert_eq!(log_key(version), *at);
        bytes += len;
        delta.version = version;
    }
    Ok(delta)
}

/// Adds an item as it is now; says how many bytes it takes and which change made it so.
fn add(
    view: &dyn View,
    delta: &mut RoutingDelta,
    item: Item,
) -> Result<(usize, RoutingVersion), StoreError> {
    let key = item.key();
    let missing = || damaged::<Item>(&key, "an item of the routing is missing");
    let value = view.get(&key)?.ok_or_else(missing)?;
    let changed = match item {
        Item::Node(_) => {
            let record: NodeRecord = decode_record(&key, &value)?;
            delta.nodes.push(record.node);
            record.changed
        }
        Item::Disk(_) => {
            let record: DiskRecord = decode_record(&key, &value)?;
            delta.disks.push(record.disk);
            record.changed
        }
        Item::Chain(_) => {
            let record: ChainRecord = decode_record(&key, &value)?;
            delta.chains.push(record.chain);
            record.changed
        }
        Item::Table(_) => {
            let record: TableRecord = decode_record(&key, &value)?;
            delta.tables.push(record.table);
            record.changed
        }
    };
    Ok((value.len(), changed))
}
