//! The same operation on both, and whether the same comes of it.

use crate::differences::{may_seek, refused_but_timed};
use crate::host::Host;
use crate::operation::{Operation, Outcome, SLOTS, Status, Stop, System, Value};
use crate::snapshot;
use crate::subject::Subject;

/// daxfs and the kernel's filesystem, in the same state.
pub(crate) struct Pair {
    subject: Subject,
    host: Host,
    steps: usize,
    /// Whether they agree on what is data and what a hole.
    may_seek: bool,
}

impl Pair {
    /// Two empty ones; `None` where the host's cannot be had.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            host: Host::new()?,
            subject: Subject::new(),
            steps: 0,
            may_seek: true,
        })
    }

    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Does `operation` to both. Returns what comes of it, which is the same.
    pub(crate) fn apply(&mut self, operation: &Operation) -> Outcome {
        let seeks = matches!(
            operation,
            Operation::SeekData { .. } | Operation::SeekHole { .. }
        );
        if seeks && !self.may_seek {
            return Ok(Value::Done);
        }
        self.may_seek &= may_seek(operation);
        let of_subject = self.subject.apply(operation);
        let of_host = self.host.apply(operation);
        assert_eq!(
            of_subject, of_host,
            "(daxfs left, the kernel right) step {}: {operation:?}",
            self.steps
        );
        self.steps += 1;
        if matches!(operation, Operation::Stop(_)) {
            self.compare_all("after the stop");
        }
        if of_subject.is_err()
            && let Some(slot) = refused_but_timed(operation)
        {
            self.touch(slot);
        }
        of_subject
    }

    /// Makes the times of the file in `slot` those of now, on both.
    fn touch(&mut self, slot: usize) {
        if let Ok(Value::Status(Status {
            len_bytes: Some(len),
            ..
        })) = self.host.apply(&Operation::FileStatus { slot })
        {
            let _same = self.apply(&Operation::Truncate { slot, len });
        }
    }

    /// Compares all that there is, and once more as the next mount finds it, after a crash and
    /// after an unmount.
    pub(crate) fn finish(mut self) {
        for slot in 0..SLOTS {
            let _same = self.apply(&Operation::FileStatus { slot });
        }
        self.compare_all("at the end");
        let _same = self.apply(&Operation::Stop(Stop::Crash));
        let _same = self.apply(&Operation::Stop(Stop::Unmount));
    }

    fn compare_all(&mut self, when: &str) {
        let of_subject = snapshot::take(&mut self.subject);
        let of_host = snapshot::take(&mut self.host);
        for (subject, host) in of_subject.iter().zip(&of_host) {
            assert_eq!(subject, host, "(daxfs left, the kernel right) {when}");
        }
        assert_eq!(of_subject.len(), of_host.len(), "{when}");
    }
}
