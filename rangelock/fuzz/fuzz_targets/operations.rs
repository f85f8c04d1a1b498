//! Bytes chosen by libFuzzer as a schedule of operations, on the lock and on the oracle.
//!
//! The schedules, the oracle and the comparison are those of `tests/differential`, which also runs
//! the corpus of this target: what is found here and added there is tested ever after.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/differential/compare.rs"]
mod compare;
#[path = "../../tests/differential/decode.rs"]
mod decode;
#[path = "../../tests/differential/operation.rs"]
mod operation;
#[path = "../../tests/differential/oracle.rs"]
mod oracle;
#[path = "../../tests/differential/subject.rs"]
mod subject;

use crate::oracle::Rules;

fuzz_target!(|bytes: &[u8]| {
    let (make, schedule) = decode::decode(bytes);
    compare::compare(make, Rules::Right, &schedule);
});
