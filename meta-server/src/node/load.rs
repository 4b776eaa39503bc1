//! What this member served for clients over the last seconds, looked at all the time: whoever asks gets an answer at once.

use std::time::{Duration, Instant};

use emberfs_transport::LoadWindow;
use emberfs_wire::cluster::NodeLoad;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked at: several times in the window.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks, for ever.
pub(super) async fn watch(tell: watch::Sender<Option<NodeLoad>>) {
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut window = LoadWindow::default();
    loop {
        tick.tick().await;
        tell.send_replace(window.note(Instant::now()));
    }
}
