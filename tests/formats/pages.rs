//! The pages of `docs/formats/` and the golden files say the same: each block of bytes in a page is a record of
//! the file that it names, every kind of record on a disk has a block, and every golden file is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

type Bytes = Vec<u8>;

/// What a golden file holds.
enum Golden {
    /// One thing, in rows of bytes.
    Dump(Bytes),
    /// Messages.
    Samples(Vec<Bytes>),
    /// Keys and values.
    Records(Vec<(Bytes, Bytes)>),
}

/// Bytes that a page takes apart.
struct Block {
    file: String,
    /// Key and value, or one thing.
    parts: Vec<Bytes>,
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the project")
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn pages() -> String {
    read("docs/formats/on-disk.md") + &read("docs/formats/wire.md")
}

/// Bytes in hexadecimal, with spaces or without; `None` if it is something else.
fn hex(text: &str) -> Option<Bytes> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|char| *char != ' ')
        .map(|char| char.to_digit(16))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks();
    let byte = |[high, low]: &[u32; 2]| u8::try_from(high << 4 | low).expect("two digits");
    rest.is_empty().then(|| pairs.iter().map(byte).collect())
}

/// The inverse of `escape_ascii`.
fn unescaped(text: &str) -> Bytes {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        let (byte, len) = match (first, behind) {
            (b'\\', [b'x', high, low, ..]) => {
                let digits = String::from_utf8(vec![*high, *low]).expect("ASCII");
                (u8::from_str_radix(&digits, 16).expect("two digits"), 4)
            }
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [escaped, ..]) => (*escaped, 2),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[len..];
    }
    bytes
}

impl Golden {
    fn read(file: &str) -> Self {
        let text = read(file);
        if text.contains(" = ") {
            return Self::Records(text.lines().map(record).collect());
        }
        match text.lines().map(hex).collect::<Option<Vec<_>>>() {
            Some(rows) => Self::Dump(rows.concat()),
            None => Self::Samples(text.lines().filter_map(hex).filter(|b| !b.is_empty()).collect()),
        }
    }

    fn holds(&self, parts: &[Bytes]) -> bool {
        match (self, parts) {
            (Self::Dump(all), [part]) => all == part,
            (Self::Samples(samples), [part]) => samples.contains(part),
            (Self::Records(records), [key, value]) => {
                records.contains(&(key.clone(), value.clone()))
            }
            _ => false,
        }
    }
}

/// `NAME: KEY = VALUE`, `STORE KEY = VALUE` or `KEY = VALUE`: of the first the key is in hexadecimal, of the others
/// escaped.
fn record(line: &str) -> (Bytes, Bytes) {
    let (key, value) = line.rsplit_once(" = ").expect("a record");
    let key = match key.split_once(": ") {
        Some((_, key)) => hex(key).expect("hexadecimal"),
        None => unescaped(key.trim_start_matches("log ").trim_start_matches("state ")),
    };
    (key, hex(value).expect("hexadecimal"))
}

/// All blocks: the bytes of a line stand before the first two spaces behind them.
fn blocks() -> Vec<Block> {
    let pages = pages();
    let fenced = pages.split("```golden ").skip(1).map(|rest| {
        let (file, rest) = rest.split_once('\n').expect("a block has lines");
        let body = rest.split_once("\n```").expect("a block ends").0;
        let part = |part: &str| {
            let lines = part.lines().map(|line| line.trim().split("  ").next().unwrap_or_default());
            lines
                .flat_map(|bytes| hex(bytes).unwrap_or_else(|| panic!("{file}: {bytes}")))
                .collect()
        };
        let parts = format!("{body}\n").split("\n=\n").map(part).collect();
        Block { file: file.to_owned(), parts }
    });
    fenced.collect()
}

#[test]
fn each_block_is_a_record_of_its_file() {
    let blocks = blocks();
    assert!(blocks.len() > 40, "{} blocks", blocks.len());
    for Block { file, parts } in blocks {
        let shown: Vec<String> = parts.iter().map(|part| format!("{part:02x?}")).collect();
        let found = Golden::read(&file).holds(&parts);
        assert!(
            found,
            "no record of {file}: it has changed, take it apart anew\n{}",
            shown.join("\n=\n")
        );
    }
}

/// Of the engine's records every key is wanted, of all others every first byte.
#[test]
fn each_kind_of_record_on_a_disk_is_taken_apart() {
    let engine = "storage-server/chunk-engine/golden/records_1.txt";
    let files = [
        engine,
        "meta-server/golden/member_1.txt",
        "meta-server/state/golden/cluster.txt",
        "meta-server/state/golden/namespace.txt",
        "meta-server/state/golden/sessions.txt",
    ];
    for file in files {
        let Golden::Records(records) = Golden::read(file) else { panic!("{file} has no records") };
        let kind = |key: &Bytes| if file == engine { key.clone() } else { key[..1].to_owned() };
        let shown = blocks()
            .into_iter()
            .filter(|block| block.file.contains("meta-server") != (file == engine));
        let shown: BTreeSet<Bytes> = shown.map(|block| kind(&block.parts[0])).collect();
        for (key, _) in records {
            assert!(shown.contains(&kind(&key)), "{file}: no block for {}", key.escape_ascii());
        }
    }
}

#[test]
fn each_golden_file_is_named_by_a_page() {
    let pages = pages();
    let mut folders = vec![top().to_owned()];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for path in children(&folder) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if folder.ends_with("golden") && name.ends_with(".txt") {
                let file = path.strip_prefix(top()).expect("below the top").display().to_string();
                assert!(pages.contains(&file), "{file} stands in no page");
                found += 1;
            }
        }
    }
    assert!(found >= 9, "{found} golden files");
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the project");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}
