//! Which clients there are.

use emberfs_meta_server_state::sessions::{LEASE_MS, Session};
use emberfs_meta_server_state::{StoreError, View, namespace, sessions};
use emberfs_wire::WireError;
use emberfs_wire::cluster::{ClientStatus, GetClients, GetClientsReply};
use emberfs_wire::limits::CLIENTS_PAGE_MAX;

use crate::background::{Leader, expiry};

/// A page of the sessions that live.
pub(super) async fn list(leader: &Leader, asked: GetClients) -> Result<GetClientsReply, WireError> {
    let look = |view: &dyn View| -> Result<_, StoreError> {
        let page = sessions::list(view, asked.after, CLIENTS_PAGE_MAX)?;
        let writers = |session: &Session| namespace::open_count(view, session.client);
        let writers = page.iter().map(writers).collect::<Result<Vec<_>, _>>()?;
        Ok((page, writers))
    };
    let (page, writers) = leader.group.read(|view| look(view)).await?;
    let more = page.len() == CLIENTS_PAGE_MAX;
    let clients = page.into_iter().zip(writers);
    let clients = clients.filter(|(session, _)| !leader.is_own(session.client));
    let clients = clients.map(|(session, writers)| status(leader, session, writers));
    Ok(GetClientsReply { clients: clients.collect(), more, lease_ms: LEASE_MS })
}

fn status(leader: &Leader, session: Session, writers: usize) -> ClientStatus {
    let Session { client, host, what, opened, start: _ } = session;
    let ms = |looks: u64| looks.saturating_mul(expiry::TICK_MS.into());
    let heard = leader.clients.silent_looks(client).map(ms);
    ClientStatus {
        client,
        host,
        what,
        opened,
        heard_ms_ago: heard.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)),
        writers: u32::try_from(writers).unwrap_or(u32::MAX),
    }
}
