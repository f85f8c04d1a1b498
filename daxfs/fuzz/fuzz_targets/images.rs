//! Bytes chosen by libFuzzer as changes of a golden image, and everything that may be done to it.
//!
//! The changes and what has to hold are those of the ordinary test `mutated_images`, which can run
//! whatever is found here ever after.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../tests/tests/mutated_images/exercise.rs"]
mod exercise;
#[path = "../../../tests/tests/mutated_images/golden.rs"]
mod golden;
#[path = "../../../tests/tests/mutated_images/mutate.rs"]
mod mutate;

fuzz_target!(|bytes: &[u8]| {
    // The last byte chooses: changes begin with the first.
    let mut image = match bytes.last().copied().unwrap_or_default() % 2 {
        0 => golden::golden(),
        _ => golden::golden_with_checksums(),
    };
    mutate::mutate(&mut image, bytes);
    let _fate = exercise::exercise(&exercise::Image::new(&image));
});
