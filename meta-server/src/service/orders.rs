//! What an operator wants done: disks admitted, tables made.

use std::collections::BTreeSet;
use std::num::NonZeroU8;

use emberfs_chain_replication::placement::{FreeDisk, Replicas, place_targets};
use emberfs_layout::{ChunkSize, DiskId, TargetId};
use emberfs_meta_server_state::{Body, Outcome, StoreError, cluster};
use emberfs_wire::WireError;
use emberfs_wire::cluster::{AdminOrder, Administer, AdministerReply, ChainTable, Disk};
use tokio::task::spawn_blocking;

use super::mismatch;
use crate::background::Leader;
use crate::store::StateView;

/// Carries out an order, once.
pub(super) async fn administer(
    leader: &Leader,
    asked: Administer,
) -> Result<AdministerReply, WireError> {
    let Administer { order_id, order } = asked;
    if let Some(reply) = leader.group.read(|view| cluster::order(view, order_id)).await? {
        return Ok(reply);
    }
    let body = match order {
        AdminOrder::AddDisk { disk, targets } => Body::AddDisk { order_id, disk, targets },
        AdminOrder::CreateTable { replicas, min_serving, chunk_size, disks, is_default } => {
            let look = |view: &StateView<'_>| -> Result<_, StoreError> {
                Ok((cluster::free_disks(view)?, cluster::disks(view)?))
            };
            let (free, known) = leader.group.read(look).await?;
            let free = match only(free, &disks, &known) {
                Ok(free) => free,
                Err(text) => return Ok(AdministerReply::Refused { text }),
            };
            // The search takes seconds in a large cluster: not on a thread that serves connections.
            let planned = spawn_blocking(move || plan(free, replicas)).await;
            let chains = match planned.expect("no panic, not aborted") {
                Ok(chains) => chains,
                Err(text) => return Ok(AdministerReply::Refused { text }),
            };
            let min_serving = min_serving.unwrap_or_else(|| replicas.saturating_sub(1).max(1));
            let chunk_size = chunk_size.unwrap_or(ChunkSize::DEFAULT);
            Body::CreateTable { order_id, chains, replicas, min_serving, chunk_size, is_default }
        }
    };
    match leader.group.propose(body).await? {
        Outcome::Administered(reply) => {
            tell(&reply);
            Ok(reply)
        }
        other => Err(mismatch(&other)),
    }
}

fn tell(reply: &AdministerReply) {
    match reply {
        AdministerReply::DiskAdded(Disk { id, node, targets }) => {
            tracing::info!(disk = %id, %node, targets = targets.len(), "admitted a disk");
        }
        AdministerReply::TableCreated(ChainTable { id, chains, replicas, .. }) => {
            tracing::info!(table = %id, chains = chains.len(), replicas, "made a table");
        }
        AdministerReply::Refused { text } => tracing::info!(text, "refused an operator's order"),
    }
}

/// Of the disks with free targets those that are wanted: all, if none is named. The words say why one cannot be used.
fn only(
    mut free: Vec<cluster::FreeDisk>,
    wanted: &[DiskId],
    known: &[Disk],
) -> Result<Vec<cluster::FreeDisk>, String> {
    if wanted.is_empty() {
        return Ok(free);
    }
    let wanted: BTreeSet<DiskId> = wanted.iter().copied().collect();
    free.retain(|disk| wanted.contains(&disk.id));
    match wanted.iter().find(|id| !free.iter().any(|disk| disk.id == **id)) {
        None => Ok(free),
        Some(id) if known.iter().any(|disk| disk.id == *id) => {
            Err(format!("disk {id} has no free target: each is in a chain of another table"))
        }
        Some(id) => Err(format!("disk {id} is not in use: `emberfs disk add {id}` admits it")),
    }
}

/// Chains over all these targets, as even as can be; the words say why there are none.
fn plan(free: Vec<cluster::FreeDisk>, replicas: u8) -> Result<Vec<Vec<TargetId>>, String> {
    let replicas = NonZeroU8::new(replicas).ok_or("a chain has at least 1 replica, not 0")?;
    if free.is_empty() {
        return Err("there is no free target: add disks first".to_owned());
    }
    let offered = |disk: cluster::FreeDisk| {
        let cluster::FreeDisk { id, node, domain, targets } = disk;
        FreeDisk { id, node, domain, targets }
    };
    let disks: Vec<FreeDisk> = free.into_iter().map(offered).collect();
    place_targets(&disks, Replicas(replicas)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_layout::NodeId;
    use emberfs_wire::cluster::DomainId;

    #[test]
    fn what_is_missing_is_said() {
        assert!(plan(Vec::new(), 3).expect_err("no disk").contains("add disks"));
        let targets = (1..5).map(TargetId).collect();
        let (id, node, domain) = (DiskId(1), NodeId(1), DomainId(1));
        let one = vec![cluster::FreeDisk { id, node, domain, targets }];
        assert!(plan(one.clone(), 0).is_err());
        assert_eq!(plan(one.clone(), 1).expect("one domain is enough").len(), 4);
        let few = plan(one, 2).expect_err("one domain");
        assert!(few.contains("2 replicas need as many failure domains"), "{few}");
    }

    #[test]
    fn a_disk_that_cannot_be_used_is_named() {
        let disk = |id: u32| {
            let (id, node, targets) = (DiskId(id.into()), NodeId(id), vec![TargetId(id)]);
            Disk { id, node, targets }
        };
        let free = |id: u32| {
            let Disk { id: disk, node, targets } = disk(id);
            cluster::FreeDisk { id: disk, node, domain: DomainId(id), targets }
        };
        let (all, known) = (vec![free(1), free(2)], [disk(1), disk(2), disk(3)]);
        assert_eq!(only(all.clone(), &[], &known), Ok(all.clone()));
        let twice = [DiskId(2), DiskId(2)];
        assert_eq!(only(all.clone(), &twice, &known), Ok(vec![free(2)]));
        let no = |id| only(all.clone(), &[DiskId(1), DiskId(id)], &known).expect_err("refused");
        assert!(no(3).contains("no free target") && no(3).contains(&DiskId(3).to_string()));
        assert!(no(4).contains("`emberfs disk add"), "{}", no(4));
    }
}
