//! The command line, also as `mount(8)` has it when it calls `mount.emberfs`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Mounts an EmberFS cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "emberfs-fuse", version)]
pub struct Arguments {
    /// The cluster: a name that is known here, or HOST:PORT[,HOST:PORT…], with or without `:/`.
    #[arg(value_name = "CLUSTER")]
    pub source: String,
    /// The directory at which it is mounted.
    pub path: PathBuf,
    /// Options, with commas between them.
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub options: Vec<String>,
    /// Stay in the foreground, and log to standard error.
    #[arg(long)]
    pub foreground: bool,
    /// Say `mounted` on standard output as soon as it is, then let go of the terminal.
    #[arg(long, hide = true, requires = "foreground")]
    pub announce: bool,
    /// Mount no more once this process is gone: it started this one, and waits for the mount.
    #[arg(long, hide = true, value_name = "PROCESS")]
    pub with_parent: Option<u32>,
    /// How long the cluster may take to answer before the mount fails, in seconds.
    #[arg(long, hide = true, value_name = "SECONDS", value_parser = seconds)]
    pub connect_timeout: Option<Duration>,
    /// Check the options and the directory; ask no cluster, and mount nothing.
    #[arg(short = 'f')]
    pub fake: bool,
    /// Of `mount(8)`, without meaning here: unknown options are errors.
    #[arg(short = 's', hide = true)]
    sloppy: bool,
    /// Of `mount(8)`, without meaning here.
    #[arg(short = 'n', hide = true)]
    no_mtab: bool,
    /// Of `mount(8)`, without meaning here.
    #[arg(short = 'v', hide = true)]
    verbose: bool,
    /// Of `mount(8)`: the type, which is known.
    #[arg(short = 't', hide = true)]
    kind: Option<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mount_calls_is_understood() {
        let words =
            ["mount.emberfs", "a:1,b:1:/", "/mnt", "-sfnv", "-o", "rw,noatime", "-t", "emberfs"];
        let parsed = Arguments::try_parse_from(words).expect("as mount(8) calls it");
        assert_eq!((parsed.source.as_str(), parsed.fake), ("a:1,b:1:/", true));
        assert_eq!(parsed.options, ["rw,noatime"]);
        assert!(!parsed.foreground);
        let words = ["emberfs-fuse", "a:1", "/mnt", "--connect-timeout"];
        let timeout = |value| Arguments::try_parse_from(words.into_iter().chain([value]));
        let parsed = timeout("0.5").expect("as `emberfs mount` calls it");
        assert_eq!(parsed.connect_timeout, Some(Duration::from_millis(500)));
        assert!(timeout("-1").is_err() && timeout("soon").is_err());
    }
}
