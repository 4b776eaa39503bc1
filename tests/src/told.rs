//! What a process tells Prometheus: fetched over TCP, and read strictly, as a scraper that forgives nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::local::LocalCluster;

/// Every sample of a text, by its name and its labels as they stand there.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    samples: BTreeMap<(String, String), f64>,
    counters: BTreeSet<String>,
}

/// A family as it is being read.
struct Family {
    name: String,
    kind: String,
}

impl LocalCluster {
    /// Where a server tells its metrics, by its configuration.
    pub fn metrics_address(&self, server: &str) -> String {
        let (kind, _) = server.split_once('-').expect("a kind and a number");
        let config = self.directory().join(server).join(format!("{kind}.toml"));
        let text = std::fs::read_to_string(config).expect("written by `up`");
        let value = text.lines().find_map(|line| line.strip_prefix("metrics = \""));
        let address = value.and_then(|value| value.strip_suffix('"'));
        address.expect("each server of `up` has one").to_owned()
    }

    /// What a server tells now.
    pub fn told(&self, server: &str) -> Told {
        Told::by(&self.metrics_address(server))
    }
}

impl Told {
    /// What the process at this address tells now.
    ///
    /// # Panics
    /// When it does not answer, or with anything but a text in the format of Prometheus.
    pub fn by(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        Self::parse(body)
    }

    /// What this text says.
    ///
    /// # Panics
    /// At the first line that is not as the format has it.
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let (mut samples, mut families) = (BTreeMap::new(), BTreeMap::new());
        let mut family: Option<Family> = None;
        let mut helped = "";
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped = help.split_once(' ').expect("a name and a help").0;
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and a kind");
                assert_eq!(name, helped, "the help comes just before: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let twice = families.insert(name.to_owned(), kind.to_owned());
                assert_eq!(twice, None, "{name} comes twice");
                family = Some(Family { name: name.to_owned(), kind: kind.to_owned() });
            } else {
                let (key, value) = sample(line, family.as_ref().expect("a kind comes first"));
                assert_eq!(samples.insert(key, value), None, "{line} comes twice");
            }
        }
        let counters = families.iter().filter(|(_, kind)| *kind == "counter");
        let counters = counters.map(|(name, _)| name.clone()).collect();
        let told = Self { samples, counters };
        families
            .iter()
            .filter(|(_, kind)| *kind == "histogram")
            .for_each(|(name, _)| told.check(name));
        told
    }

    /// The sum of a metric's samples that have all of these labels, each as `name="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of = |(of, with): &&(String, String)| {
            of == name && labels.iter().all(|label| with.split(',').any(|one| one == *label))
        };
        self.samples.keys().filter(of).map(|key| self.samples[key]).sum()
    }

    /// Whether the metric is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|(of, _)| of == name)
    }

    /// That no counter is below what it was.
    pub fn follows(&self, before: &Self) {
        for (key, value) in &before.samples {
            if self.counters.contains(&key.0) {
                let now = self.samples.get(key);
                assert!(now.is_some_and(|now| now >= value), "{key:?}: {value}, then {now:?}");
            }
        }
    }

    /// That buckets of a histogram grow, and end with its count.
    fn check(&self, name: &str) {
        let bucket = format!("{name}_bucket");
        let mut ends: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for ((of, labels), value) in &self.samples {
            if *of != bucket {
                continue;
            }
            let (others, bound): (Vec<&str>, Vec<&str>) =
                labels.split(',').partition(|label| !label.starts_with("le="));
            let bound = bound.first().and_then(|one| one.strip_prefix("le=\"")?.strip_suffix('"'));
            let bound = number(bound.expect("a bucket has a bound"));
            ends.entry(others.join(",")).or_default().push((bound, *value));
        }
        assert!(!ends.is_empty(), "{name} has buckets");
        for (labels, mut buckets) in ends {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}{{{labels}}}");
            let (bound, all) = buckets.last().expect("some");
            let count = self.samples.get(&(format!("{name}_count"), labels.clone()));
            assert_eq!((*bound, Some(all)), (f64::INFINITY, count), "{name}{{{labels}}}");
            assert!(self.samples.contains_key(&(format!("{name}_sum"), labels)), "{name}");
        }
    }
}

/// One line of a family: its name, its labels without braces, its value.
fn sample(line: &str, family: &Family) -> ((String, String), f64) {
    let (series, value) = line.rsplit_once(' ').expect("a name and a value");
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').expect("braces are closed")),
    };
    let part = name.strip_prefix(&*family.name).expect("samples stand below their kind");
    let parts: &[&str] = match &*family.kind {
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    assert!(parts.contains(&part), "{line} is no part of a {}", family.kind);
    let is_word = |word: &str| {
        word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !word.starts_with(|first: char| first.is_ascii_digit())
    };
    assert!(is_word(name), "{name}");
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (key, value) = label.split_once("=\"").expect("labels are name=\"value\"");
        let value = value.strip_suffix('"').expect("quotes are closed");
        // Ours need no escapes, and may have no comma.
        assert!(is_word(key) && !value.contains(['"', '\\', '\n']), "{label}");
    }
    ((name.to_owned(), labels.to_owned()), number(value))
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        text => text.parse().unwrap_or_else(|_| panic!("`{text}` is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"1\",y=\"b\"} 3\na_total{x=\"2\",y=\"b\"} 4\n\
        # HELP s Help.\n# TYPE s histogram\ns_bucket{le=\"0.1\"} 1\ns_bucket{le=\"+Inf\"} 2\ns_sum 0.5\ns_count 2\n";

    #[test]
    fn a_text_is_read_and_what_is_none_is_refused() {
        let told = Told::parse(TEXT);
        assert_eq!(
            (told.sum("a_total", &["y=\"b\""]), told.sum("a_total", &["x=\"2\""])),
            (7.0, 4.0)
        );
        assert_eq!(told.sum("s_count", &[]), 2.0);
        for (right, wrong) in [
            ("# TYPE a_total counter\n", ""),
            ("\ns_count 2\n", "\ns_count 3\n"),
            ("s_bucket{le=\"0.1\"} 1", "s_bucket{le=\"0.1\"} 3"),
            ("a_total{x=\"2\",y=\"b\"} 4", "a_total{x=\"1\",y=\"b\"} 4"),
            ("a_total{x=\"2\",y=\"b\"} 4", "b_total{x=\"1\",y=\"b\"} 4"),
            ("s_sum 0.5", "s_sum half"),
            ("x=\"2\",", "x=2,"),
        ] {
            let text = TEXT.replace(right, wrong);
            assert_ne!(text, TEXT);
            let read = std::panic::catch_unwind(|| Told::parse(&text));
            assert!(read.is_err(), "{text}");
        }
    }
}
