//! The bytes that a load writes tell what is wrong with them.

use emberfs_tests::load::bytes::{bytes, versions};

#[test]
fn a_wrong_place_file_or_hole_is_told() {
    let mut made = bytes(7, 3, 16..80).to_vec();
    made[8..16].copy_from_slice(&bytes(7, 4, 24..32));
    assert_eq!(versions(7, 16, &made), Ok(3..=4));
    assert!(versions(8, 16, &made).is_err(), "another file's");
    assert!(versions(7, 24, &made).is_err(), "from another place");
    made[32..40].fill(0);
    assert!(versions(7, 16, &made).is_err(), "a hole");
    assert_eq!(bytes(7, 3, 19..29), bytes(7, 3, 16..32).slice(3..13));
}
