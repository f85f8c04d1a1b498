//! What a benchmark ran on: processor, cores, kernel.
//!
//! Reads /proc and takes no locks.

use std::fs;
use std::num::NonZeroUsize;
use std::thread;

use serde::Serialize;

/// The machine, as reports name it.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's own name for itself.
    pub(crate) cpu: String,
    /// How many cores this process may use.
    pub(crate) cores: usize,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The instruction set.
    pub(crate) architecture: &'static str,
}

impl Machine {
    /// The machine that this runs on; what cannot be found out is `unknown`.
    pub(crate) fn describe() -> Self {
        let unknown = || "unknown".to_owned();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease");
        Self {
            cpu: cpu_name(&cpuinfo).unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            kernel: release.map_or_else(|_| unknown(), |release| release.trim().to_owned()),
            architecture: std::env::consts::ARCH,
        }
    }
}

fn cpu_name(cpuinfo: &str) -> Option<String> {
    let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let named = |(key, value): (&str, &str)| {
        matches!(key.trim(), "model name" | "Model").then(|| value.trim().to_owned())
    };
    fields.filter_map(named).find(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_processor_name_among_the_other_fields() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: Some CPU @ 2: fast\n";
        assert_eq!(cpu_name(cpuinfo).as_deref(), Some("Some CPU @ 2: fast"));
        assert_eq!(cpu_name("processor\t: 0\n"), None);
    }
}
