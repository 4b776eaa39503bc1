//! The records are pinned by `golden/records_1.txt`.

use std::fmt::Write;
use std::path::Path;

use emberfs_buffer::{ChunkDigest, Crc32c};
use emberfs_layout::{BlockSize, ChainVersion, ChunkOffset, ChunkVersion, ClientId, Sequence};
use proptest::prelude::*;

use super::*;
use crate::map::{Block, Place, Runs};

fn chunk() -> ChunkKey {
    let chunk = ChunkId::new(DataId(0x0102_0304_0506_0708), ChunkIndex(9));
    ChunkKey { target: TargetId(0x0a0b), chunk }
}

fn state() -> VersionState {
    VersionState {
        version: ChunkVersion(7),
        len: ChunkOffset(70_000),
        digest: ChunkDigest(0xdead_beef_0000_0001),
        written_in: ChainVersion(3),
        removed: false,
    }
}

fn samples() -> Vec<(&'static str, Key, Value)> {
    let (client, sequence) = (ClientId(5), Sequence(300));
    let tags = vec![AppliedTag {
        client,
        sequence,
        version: ChunkVersion(7),
        chunk_len: ChunkOffset(70_000),
    }];
    let block = |place, sum| Block { place: Place(place), sum: Crc32c(sum) };
    let blocks = [(0, block(16, 1)), (1, block(17, 2)), (3, block(40, 0x0102_0304))];
    let runs = Runs { blocks: blocks.iter().copied(), size: BlockSize::MIN };
    let chunk_size = ChunkSize::DEFAULT;
    let format = FormatRecord { version: VERSION, region: ByteLen(16 << 20) };
    let head = HeadRecord { chunk_size, state: state(), tags: tags.clone() };
    let piece = PieceRecord { runs: runs.clone() };
    let dropped_from = Some(20);
    let pending =
        PendingRecord { chunk_size, state: state(), tags, committed: true, dropped_from, runs };
    vec![
        ("format", FORMAT_KEY.to_vec(), encode(&format)),
        ("head", key(chunk(), Part::Head), encode(&head)),
        ("pending", key(chunk(), Part::Pending), encode(&pending)),
        ("piece 0", key(chunk(), Part::Piece(0)), encode(&piece)),
    ]
}

#[test]
fn records_are_pinned() {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("memory");
            text
        })
    };
    let lines = samples()
        .into_iter()
        .map(|(name, key, value)| format!("{name}: {} = {}\n", hex(&key), hex(&value)));
    let written: String = lines.collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/records_1.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).expect("the golden file is writable");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file is there");
    assert_eq!(written, golden, "the records changed: that is a new version of the format");
}

#[test]
fn an_element_added_later_is_skipped() {
    let head = HeadRecord { chunk_size: ChunkSize::MIN, state: state(), tags: Vec::new() };
    let mut bytes = encode(&head);
    bytes[0] += 1;
    bytes.push(7);
    let key = key(chunk(), Part::Head);
    assert_eq!(decode::<HeadRecord>(&key, &bytes).expect("skipped"), head);
    let cut = decode::<HeadRecord>(&key, &bytes[..4]).expect_err("cut short");
    assert!(matches!(cut, EngineError::Damaged { what: Damage::Value, .. }), "{cut}");
}

proptest! {
    #[test]
    fn keys_round_trip_and_sort_by_target_file_and_position(
        a: (u32, u64, u32, u8), b: (u32, u64, u32, u8),
    ) {
        let of = |(target, data, index, part): (u32, u64, u32, u8)| {
            let chunk = ChunkId::new(DataId(data), ChunkIndex(index));
            let chunk = ChunkKey { target: TargetId(target), chunk };
            let part = match part { 0 => Part::Head, 1 => Part::Pending, n => Part::Piece(u32::from(n)) };
            (chunk, part)
        };
        let ((chunk_a, part_a), (chunk_b, part_b)) = (of(a), of(b));
        let (key_a, key_b) = (key(chunk_a, part_a), key(chunk_b, part_b));
        prop_assert_eq!(parse_key(&key_a), Some((chunk_a, part_a)));
        prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
        prop_assert!(key_a > target_start(chunk_a.target));
        prop_assert_eq!(parse_key(&key_a[1..]), None);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes: Vec<u8>) {
        let key = key(chunk(), Part::Head);
        let _ = decode::<HeadRecord>(&key, &bytes);
        let _ = decode::<PendingRecord>(&key, &bytes);
        if let Ok(piece) = decode::<PieceRecord>(&key, &bytes) {
            let _ = crate::map::blocks(&piece.runs, BlockSize::MIN, 64);
        }
    }
}
