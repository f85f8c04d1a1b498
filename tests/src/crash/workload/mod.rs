//! Sequences of operations to make traces of: all short ones, and random longer ones.
//!
//! | Module | What it is for |
//! |---|---|
//! | `operation` | what can be asked of a filesystem |
//! | `core` | the operations that sequences are made of: ACE's, and more |
//! | `sketch` | what must be there before each |
//!
//! Touches nothing. Takes no locks.

use std::fmt;

use crate::fixture::Numbers;

mod core;
mod operation;
mod sketch;
#[cfg(test)]
mod tests;

pub use self::core::{Core, Place, ace, more};
pub use operation::{Length, Means, Operation, Path, Span};

use sketch::Sketch;

/// Why an operation is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// So that a later one has something to work on.
    Setup,
    /// To be crashed.
    Core,
}

/// One operation of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// What is done.
    pub operation: Operation,
    /// Why.
    pub role: Role,
}

/// Operations in their order. It begins with an empty filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// The operations.
    pub steps: Vec<Step>,
}

impl Workload {
    /// These operations, each after what it needs.
    #[must_use]
    pub fn of(cores: &[Core]) -> Self {
        let mut sketch = Sketch::default();
        let mut steps = Vec::new();
        for core in cores {
            let setup = sketch.prepare(*core).into_iter();
            let setup = setup.map(|operation| (operation, Role::Setup));
            steps.extend(setup.map(|(operation, role)| Step { operation, role }));
            let operation = sketch.fill_in(*core);
            sketch.apply(operation);
            let role = Role::Core;
            steps.push(Step { operation, role });
        }
        Self { steps }
    }

    /// The last operation that is there to be crashed. What comes before it is crashed in shorter
    /// workloads.
    #[must_use]
    pub fn last_core(&self) -> usize {
        let last = self.steps.iter().rposition(|step| step.role == Role::Core);
        last.unwrap_or(0)
    }

    /// Makes all durable at the end.
    #[must_use]
    pub fn synced(mut self) -> Self {
        let (operation, role) = (Operation::SyncAll, Role::Core);
        self.steps.push(Step { operation, role });
        self
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            match step.role {
                Role::Setup => write!(formatter, "{comma}({})", step.operation)?,
                Role::Core => write!(formatter, "{comma}{}", step.operation)?,
            }
        }
        Ok(())
    }
}

/// Each operation by itself.
#[must_use]
pub fn one_operation(cores: &[Core]) -> Vec<Workload> {
    cores.iter().map(|core| Workload::of(&[*core])).collect()
}

/// Each operation after each.
#[must_use]
pub fn two_operations(cores: &[Core]) -> Vec<Workload> {
    let pairs = cores
        .iter()
        .flat_map(|first| cores.iter().map(move |second| [*first, *second]));
    pairs.map(|pair| Workload::of(&pair)).collect()
}

/// A random sequence, the same for the same seed.
#[must_use]
pub fn random(cores: &[Core], operations: usize, seed: u64) -> Workload {
    let mut numbers = Numbers::new(seed);
    let pick = |_| cores[numbers.below(cores.len() as u64) as usize];
    Workload::of(&(0..operations).map(pick).collect::<Vec<_>>())
}
