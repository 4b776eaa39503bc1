//! Golden files of records: what a store holds, as text. `UPDATE_GOLDEN=1` writes them.

use std::path::Path;

use crate::transaction::View;

/// All pairs of a store: keys as escaped characters, values in hexadecimal.
pub(crate) fn dump(view: &dyn View) -> String {
    let pairs = view.scan(&[0], &[0xff], usize::MAX).expect("memory");
    let mut text = String::new();
    for (key, value) in pairs {
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("{} = {hex}\n", key.escape_ascii());
    }
    text
}

/// Holds what a store holds against `golden/NAME.txt`.
#[expect(clippy::disallowed_methods, reason = "rewriting the golden file is the point")]
pub(crate) fn check(name: &str, view: &dyn View) {
    let file = format!("{}/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = dump(view);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).expect("the golden folder is writable");
    }
    let golden = std::fs::read_to_string(Path::new(&file)).expect("each store has its file");
    assert_eq!(text, golden, "the records changed: see the head of this module");
}
