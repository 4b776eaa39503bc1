//! Golden files of the message set, and what no input may do to a decoder.
//!
//! `golden/protocol_N.txt` holds the table of methods and a sample of every message, in hexadecimal.
//! A change there is a change of the protocol: give it a new number, write its file beside the old
//! one, and keep reading the old one from version 0.2 on. `UPDATE_GOLDEN=1` writes the file.

mod chunk;
mod cluster;
mod group;
mod meta;
mod replica;

use std::fmt::Write;
use std::path::Path;

use minicbor::{Decode, Encode};
use proptest::prelude::*;

use crate::chunk::{ReadChunksReply, ReadOutcome};
use crate::extension::Extension;
use crate::limits::READS_MAX;
use crate::method::{CODECS, METHODS};
use crate::protocol::ProtocolRange;
use crate::{WireError, decode, encode};

/// The name of a type, and one of its values as it is sent.
type Sample = (&'static str, Vec<u8>);

/// Decodes bytes as one type and encodes the result again; `None` if they are refused.
pub(crate) type Recode = fn(&[u8]) -> Option<Vec<u8>>;

pub(crate) fn recode<T: Encode<()> + for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Option<Vec<u8>> {
    let message: T = decode(bytes).ok()?;
    let mut again = Vec::new();
    encode(&message, &mut again);
    Some(again)
}

fn bytes_of<T: Encode<()>>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    bytes
}

fn samples() -> Vec<Sample> {
    [
        chunk::samples(),
        replica::samples(),
        cluster::samples(),
        meta::samples(),
        group::samples(),
        chunk::beside(),
    ]
    .concat()
}

fn codecs() -> impl Iterator<Item = (&'static str, Recode)> {
    let beside: [(&str, Recode); 2] =
        [("WireError", recode::<WireError>), ("Extension", recode::<Extension>)];
    CODECS.iter().copied().chain(beside)
}

fn codec_of(name: &str) -> Recode {
    codecs().find(|(codec, _)| *codec == name).expect("every sample has a codec").1
}

#[test]
#[expect(clippy::disallowed_methods, reason = "rewriting the golden file is the point")]
fn the_message_set_is_pinned() {
    let version = ProtocolRange::OURS.newest;
    let mut text = format!("protocol {version}\n\n");
    for row in METHODS {
        let (number, retry) = (row.method.get(), row.retry);
        writeln!(text, "{number:#06x} {} => {}, {retry:?}", row.name, row.reply).expect("memory");
    }
    for (name, bytes) in samples() {
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        write!(text, "\n{name}\n{hex}\n").expect("memory");
    }
    let file = format!("{}/golden/protocol_{version}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).expect("the golden folder is writable");
    }
    let golden = std::fs::read_to_string(Path::new(&file)).expect("each version has its file");
    assert_eq!(text, golden, "the protocol changed: see the head of this module");
}

#[test]
fn every_message_has_a_sample_that_survives_the_trip() {
    for (name, _) in codecs() {
        assert!(samples().iter().any(|(sample, _)| *sample == name), "{name} has no sample");
    }
    for (name, bytes) in samples() {
        assert_eq!(codec_of(name)(&bytes).as_ref(), Some(&bytes), "{name}");
    }
}

#[test]
fn a_claimed_length_takes_no_memory() {
    // Arrays and strings that claim 2^63 elements, alone and behind an outer array.
    for claim in [0x9b, 0x5b, 0x7b, 0xbb_u8] {
        let huge = [&[claim][..], &[0x7f; 8]].concat();
        for (name, recode) in codecs() {
            assert_eq!(recode(&huge), None, "{name}");
            assert_eq!(recode(&[&[0x82, 0x80][..], &huge].concat()), None, "{name}");
        }
    }
}

#[test]
fn a_batch_beyond_its_limit_is_refused() {
    let outcomes = |count| ReadChunksReply { outcomes: vec![ReadOutcome::Absent; count] };
    assert!(decode::<ReadChunksReply>(&bytes_of(&outcomes(READS_MAX))).is_ok());
    assert!(decode::<ReadChunksReply>(&bytes_of(&outcomes(READS_MAX + 1))).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, recode) in codecs() {
            recode(&bytes);
        }
    }

    /// What decodes encodes to something that decodes to the same: no decoder takes in what its
    /// encoder would not stand by.
    #[test]
    fn damaged_samples_are_refused_or_stable(
        which: prop::sample::Index,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let samples = samples();
        let (name, bytes) = &samples[which.index(samples.len())];
        let mut bytes = bytes.clone();
        for (place, value) in edits {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let recode = codec_of(name);
        if let Some(again) = recode(&bytes) {
            prop_assert_eq!(recode(&again), Some(again.clone()));
        }
    }
}
