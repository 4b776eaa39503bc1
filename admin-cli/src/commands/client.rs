//! `client evict`.

use anyhow::{Result, bail};
use emberfs_client::{ClientStatus, Cluster};
use emberfs_client_fuse_mounts::counted;
use emberfs_layout::ClientId;

use crate::exit::say;
use crate::printable::printable;

/// Ends the sessions of these clients. Nothing is done if one of them has none.
pub(super) async fn evict(cluster: &Cluster, wanted: &[ClientId]) -> Result<()> {
    let there = cluster.clients().await?;
    for client in found(&there, wanted)? {
        cluster.evict(client.client).await?;
        let ClientStatus { client, host, what, writers, .. } = client;
        let (host, what) = (printable(host), printable(what));
        let open = counted(usize::try_from(*writers)?, "file");
        say(&format!("{client} is evicted: {what} on {host}, which had {open} open for writing"));
    }
    Ok(())
}

/// The sessions that are meant, each once.
fn found<'a>(there: &'a [ClientStatus], wanted: &[ClientId]) -> Result<Vec<&'a ClientStatus>> {
    if let Some(id) = wanted.iter().find(|id| !there.iter().any(|known| known.client == **id)) {
        bail!("{id} has no session: `emberfs client list` shows who has one");
    }
    Ok(there.iter().filter(|known| wanted.contains(&known.client)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_session_is_named_before_anything_is_done() {
        let status = |id| ClientStatus {
            client: ClientId(id),
            host: "host".into(),
            what: "mount".into(),
            opened: Default::default(),
            heard_ms_ago: None,
            writers: 0,
        };
        let there = [status(3), status(5)];
        let of = |wanted: &[u64]| {
            let wanted: Vec<_> = wanted.iter().copied().map(ClientId).collect();
            let found = found(&there, &wanted).map_err(|error| error.to_string())?;
            Ok::<_, String>(found.iter().map(|known| known.client.get()).collect::<Vec<_>>())
        };
        assert_eq!(of(&[5, 5]), Ok(vec![5]));
        assert_eq!(of(&[5, 3]), Ok(vec![3, 5]));
        assert_eq!(
            of(&[3, 4]),
            Err("client-4 has no session: `emberfs client list` shows who has one".to_owned())
        );
    }
}
