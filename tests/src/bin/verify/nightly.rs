//! What of the nightly toolchain is there. Only the slow tier asks, and does without what is
//! missing. Runs rustup; touches nothing.

use std::path::Path;
use std::process::Command;

/// The toolchain that the sanitizers, Miri and the fuzzer need.
pub(crate) const TOOLCHAIN: &str = "nightly";

/// Something that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Compiler,
    /// The source of the standard library, to build it anew.
    Source,
    Miri,
    /// `cargo fuzz`.
    Fuzzer,
}

impl Tool {
    /// Why it cannot be used here, and how to get it; nothing if it is there.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let is_there = match self {
            Self::Compiler => answer(&["rustc", "--version"]).is_some(),
            Self::Source => answer(&["rustc", "--print", "sysroot"]).is_some_and(|sysroot| {
                let source = "lib/rustlib/src/rust/library/Cargo.toml";
                Path::new(sysroot.trim()).join(source).exists()
            }),
            Self::Miri => answer(&["cargo", "miri", "--version"]).is_some(),
            Self::Fuzzer => answer(&["cargo", "fuzz", "--version"]).is_some(),
        };
        (!is_there).then_some(match self {
            Self::Compiler => "no nightly compiler: rustup toolchain install nightly",
            Self::Source => {
                "no source of the standard library: \
                 rustup component add rust-src --toolchain nightly"
            }
            Self::Miri => "no Miri: rustup component add miri rust-src --toolchain nightly",
            Self::Fuzzer => "no cargo-fuzz: cargo install cargo-fuzz",
        })
    }
}

/// The machine that the nightly compiler builds for, such as `x86_64-unknown-linux-gnu`. Sanitizers
/// want to be told.
pub(crate) fn target() -> Option<String> {
    let version = answer(&["rustc", "--version", "--verbose"])?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))?;
    Some(host.to_owned())
}

/// What a command of the toolchain prints, if there is such a command.
fn answer(command: &[&str]) -> Option<String> {
    let output = Command::new("rustup")
        .args(["run", TOOLCHAIN])
        .args(command)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}
