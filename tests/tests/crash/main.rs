//! Every crash of short workloads leaves what was promised, and a filesystem that can be used.
//!
//! | Module | What it is for |
//! |---|---|
//! | `driver` | runs a workload, recorded, and its model beside it |
//! | `oracle` | what is promised, and whether a state keeps it |
//! | `snapshot` | all that a filesystem shows |
//! | `workloads` | the suite |
//! | `threads` | two threads at once |
//! | `recovery` | crashes of what happens after a crash |
//! | `canaries` | mistakes that must be noticed |
#![forbid(unsafe_code)]

mod canaries;
mod driver;
mod oracle;
mod recovery;
mod snapshot;
mod threads;
mod workloads;
