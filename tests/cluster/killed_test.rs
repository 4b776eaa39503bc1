//! A test program that is killed takes its servers along.

use emberfs_tests::killed::leaves_nothing;

use crate::local::LocalCluster;

#[tokio::test]
async fn the_servers_of_a_killed_test_end() {
    let test = "killed_test::the_servers_of_a_killed_test_end";
    let begin = || {
        let cluster = LocalCluster::start(&[
            "--meta",
            "1",
            "--storage",
            "1",
            "--disks",
            "1",
            "--replicas",
            "1",
        ]);
        cluster.signal("storage-1", "STOP"); // it can do nothing about its end
        (cluster, ())
    };
    leaves_nothing(test, begin).await;
}
