//! Debian packages that building and testing need: found missing, they are named and installed.
//!
//! Installing takes root or sudo without a password; where neither is there, the command to run is said.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::step::command;

/// One thing that must be there.
struct Need {
    package: &'static str,
    why: &'static str,
    is_there: fn() -> bool,
}

/// All of them.
const NEEDS: &[Need] = &[
    Need {
        package: "build-essential",
        why: "compiles RocksDB",
        is_there: || on_path("cc") && on_path("c++"),
    },
    Need { package: "libclang-14-dev", why: "reads RocksDB's headers", is_there: libclang },
    Need {
        package: "protobuf-compiler",
        why: "builds Raft's messages",
        is_there: || on_path("protoc"),
    },
    Need { package: "fuse3", why: "mounts without root", is_there: || on_path("fusermount3") },
    Need { package: "iproute2", why: "networks of machines in tests", is_there: || on_path("ip") },
];

/// Installs what is missing.
pub(crate) fn ensure() -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("missing: {} ({})", need.package, need.why);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let sudo = match (is_root(), sudo_without_password()) {
        (true, _) => "",
        (false, true) => "sudo ",
        (false, false) => bail!(
            "run this as root, or install them yourself: apt-get install {}",
            packages.join(" ")
        ),
    };
    let install = format!("{sudo}apt-get install -y -qq {}", packages.join(" "));
    println!("installing them: {install}");
    command("sh", &["-c", &format!("{sudo}apt-get update -qq && {install} >/dev/null")])?;
    match missing.iter().find(|need| !(need.is_there)()) {
        Some(need) => {
            bail!("{} was installed, and what it brings is still not found", need.package)
        }
        None => Ok(()),
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Where the crate that reads the headers looks first on Debian, or where the user points it.
fn libclang() -> bool {
    let debian = (11..=30).map(|version| format!("/usr/lib/llvm-{version}/lib"));
    let has_it = |folder: &str| {
        let found = Path::new(folder).read_dir().into_iter().flatten().filter_map(Result::ok);
        let mut names = found.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.any(|name| is_libclang(&name))
    };
    std::env::var_os("LIBCLANG_PATH").is_some() || debian.into_iter().any(|f| has_it(&f))
}

/// Whether a file is the C interface. The C++ one beside it, libclang-cpp, which the compiler's own package
/// brings, does not serve.
fn is_libclang(file_name: &str) -> bool {
    let library = file_name.strip_prefix("libclang");
    library.is_some_and(|rest| rest.contains(".so") && !rest.starts_with("-cpp"))
}

fn is_root() -> bool {
    says("id", &["-u"]).is_some_and(|uid| uid.trim() == "0")
}

fn sudo_without_password() -> bool {
    says("sudo", &["-n", "true"]).is_some()
}

/// What a program prints, if it succeeds.
fn says(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpp_library_of_the_compiler_is_not_taken_for_libclang() {
        for there in ["libclang.so", "libclang.so.1", "libclang-14.so", "libclang-14.so.14.0.6"] {
            assert!(is_libclang(there), "{there}");
        }
        for other in ["libclang-cpp.so.14", "libclang-cpp.so", "libclang.a", "libclangAST.a"] {
            assert!(!is_libclang(other), "{other}");
        }
    }
}
