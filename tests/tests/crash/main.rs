//! Every crash of short workloads leaves what was promised, and a filesystem that can be used.
//!
//! | Module | What it is for |
//! |---|---|
//! | `driver` | runs a workload, recorded, and its model beside it |
//! | `perform` | what each operation is, for a filesystem and for its model |
//! | `history` | what is promised: what a crash may leave of a sequence of operations |
//! | `oracle` | whether a crash state is a filesystem, and keeps the promise |
//! | `snapshot` | all that a filesystem shows |
//! | `workloads` | the suite |
//! | `small_log` | a log that fills up and begins again |
//! | `threads` | two threads at once |
//! | `recovery` | crashes of what happens after a crash |
//! | `reuse` | a block that changes its owner between two checkpoints |
//! | `choose` | random operations |
//! | `kill` | real processes, killed |
//! | `canaries` | mistakes that must be noticed |
#![forbid(unsafe_code)]

mod canaries;
mod choose;
mod driver;
mod history;
mod kill;
mod oracle;
mod perform;
mod recovery;
mod reuse;
mod small_log;
mod snapshot;
mod threads;
mod workloads;
