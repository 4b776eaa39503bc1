//! What was acknowledged is there after everything was stopped, or killed, and started again.

use crate::local::LocalCluster;
use crate::tree::{Tree, listed};

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_survives_a_clean_restart_of_everything() {
    let cluster = LocalCluster::start(&[]);
    let tree = Tree::new(1, 40);
    let client = cluster.client().await;
    tree.write(&client).await;
    tree.compare(&client).await;
    client.close().await.expect("the cluster is up");

    cluster.down();
    cluster.up();
    let client = cluster.client().await;
    tree.compare(&client).await;
    client.fs().remove_all("tree/1").await.expect("removed");
    assert!(listed(&client, "tree").await.iter().all(|path| !path.starts_with("tree/1")));
    client.close().await.expect("the cluster is up");
    cluster.down();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_killed_at_once_come_back_with_all_that_was_acknowledged() {
    let cluster = LocalCluster::start(&["--disks", "1"]);
    let tree = Tree::new(2, 20);
    let client = cluster.client().await;
    tree.write(&client).await;
    drop(client);

    cluster.kill_all();
    cluster.up();
    let client = cluster.client().await;
    tree.compare(&client).await;
    client.close().await.expect("the cluster is up");
    cluster.down();
}
