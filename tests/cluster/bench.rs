//! `emberfs bench`: values, beside limits if they are asked for, and nothing of it stays.

use crate::local::LocalCluster;
use crate::verbs::SINGLE;

#[test]
fn it_says_values_and_limits_and_leaves_nothing() {
    let cluster = LocalCluster::start(&SINGLE);
    let bench = |more: &[&str]| {
        let rows = ["bench", "--row", "stat_c4", "--row", "create_c4"];
        cluster.must(&[&rows[..], &["--seconds", "0.1", "--json"], more].concat())
    };
    let values = bench(&[]);
    assert!(values.contains("\"id\": \"stat_c4\"") && !values.contains("\"limit\""), "{values}");
    assert!(values.contains("\"data\": \"256 names\"") && values.contains("\"cache\": \"warm\""));

    let disk = tempfile::tempdir().expect("a temporary directory");
    let limits = bench(&["--limits", &disk.path().to_string_lossy()]);
    for key in ["\"value\": ", "\"limit\": ", "\"ratio\": "] {
        assert_eq!(limits.matches(key).count(), 2, "{key}: {limits}");
    }
    assert!(!limits.contains("\"limit\": null"), "{limits}");
    assert_eq!(std::fs::read_dir(disk.path()).expect("it is there").count(), 0, "all is removed");
    assert_eq!(cluster.must(&["ls"]), "");

    let missing = disk.path().join("missing");
    let refused = cluster.emberfs(&["bench", "--limits", &missing.to_string_lossy()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("--limits: making "), "{said}");
}
