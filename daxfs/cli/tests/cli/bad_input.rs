//! What the program says of images and arguments that it cannot work with; and that it then
//! changes nothing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use daxfs::{Device, DeviceAccess, PersistenceChoice};

use crate::program::{Workplace, noise};

#[test]
fn a_missing_image_is_named() {
    let place = Workplace::new();
    place.write("file", b"file");
    for args in [
        ["ls", "no.img:/"].as_slice(),
        &["mkdir", "no.img:/x"],
        &["cp", "file", "no.img:/x"],
        &["cp", "no.img:/x", "file"],
        &["cat", "no.img:/x"],
        &["rm", "no.img:/x"],
        &["df", "no.img"],
    ] {
        place.run(args).failed(1, &["no.img", "No such file"]);
    }
    place
        .run(["fsck", "no.img"])
        .failed(8, &["no.img", "No such file"]);
    assert_eq!(place.names(), ["file"]);
}

#[test]
fn what_is_no_image_is_called_so() {
    let place = Workplace::new();
    place.write("zeroes", vec![0; 8 << 20]);
    place.write("noise", noise(8 << 20, 6));
    for name in ["zeroes", "noise"] {
        place
            .run(["df", name])
            .failed(1, &[name, "not a daxfs image"]);
        place
            .run(["fsck", name])
            .failed(8, &[name, "not a daxfs image"]);
    }
    place.write("empty", b"");
    place.write("tiny", b"tiny");
    for name in ["empty", "tiny"] {
        place.run(["df", name]).failed(1, &[name]);
        place.run(["fsck", name]).failed(8, &[name]);
    }
    fs::create_dir(place.path("directory")).expect("a directory");
    place.run(["df", "directory"]).failed(1, &["directory"]);
}

#[test]
fn an_image_cut_short_is_called_so() {
    let place = Workplace::with_image();
    let file = File::options()
        .write(true)
        .open(place.path("a.img"))
        .expect("an image");
    file.set_len(8 << 20).expect("a shorter image");
    place
        .run(["ls", "a.img:/"])
        .failed(1, &["a.img", "cut short", "16777216", "8388608"]);
    place
        .run(["fsck", "a.img"])
        .failed(8, &["a.img", "cut short"]);
}

#[test]
fn an_image_of_another_version_is_called_so() {
    let place = Workplace::with_image();
    let mut image = place.read("a.img");
    for copy in image.chunks_exact_mut(4096).take(2) {
        // The version follows the magic; the checksum ends the 512 bytes of the superblock.
        copy[8..12].copy_from_slice(&99_u32.to_le_bytes());
        let checksum = crc32c::crc32c(&copy[..508]);
        copy[508..512].copy_from_slice(&checksum.to_le_bytes());
    }
    place.write("a.img", image);
    place
        .run(["ls", "a.img:/"])
        .failed(1, &["a.img", "version 99"]);
    place
        .run(["fsck", "a.img"])
        .failed(8, &["a.img", "version 99"]);
}

/// An image with the file `x`, and damage in the leaf of the metadata tree that names it.
fn damaged() -> Workplace {
    let place = Workplace::with_image();
    place.write("file", noise(100_000, 7));
    place.run(["cp", "file", "a.img:/x"]).succeeded();
    let image = place.read("a.img");
    let name = image.windows(ENTRY.len()).position(|bytes| bytes == ENTRY);
    let at = (name.expect("the entry of `x`") + ENTRY.len() - 1) as u64;
    let file = File::options()
        .write(true)
        .open(place.path("a.img"))
        .expect("an image");
    file.write_all_at(b"y", at).expect("a byte changed");
    place
}

/// The entry of the first file of an image: its inode, the kind of a file, and the name `x`.
const ENTRY: [u8; 11] = [2, 0, 0, 0, 0, 0, 0, 0, 1, 1, b'x'];

#[test]
fn damage_is_found_and_left_as_it_was() {
    let place = damaged();
    let damaged = place.read("a.img");
    let run = place.run(["fsck", "a.img"]);
    assert_eq!(run.code, 4, "{run:?}");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(
        said.contains("error: ") && said.contains("a.img: "),
        "{said}"
    );
    assert!(place.read("a.img") == damaged, "fsck changed the image");
}

#[test]
fn damage_is_repaired_when_that_is_asked_for() {
    let place = damaged();
    let run = place.run(["fsck", "--repair", "a.img"]);
    assert_eq!(run.code, 1, "{run:?}");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(
        said.contains("repair: kept") && said.contains("a.img: repaired"),
        "{said}"
    );
    let checked = place.run(["fsck", "--repair", "a.img"]).succeeded();
    assert!(checked.starts_with("a.img: clean\n"), "{checked}");
    // The name is what the damage made of it; the file is whole.
    let content = place.run(["cat", "a.img:/y"]);
    assert!(content.stdout == noise(100_000, 7), "{:?}", content.code);
}

#[test]
fn what_cannot_be_repaired_is_left_as_it_was() {
    let place = damaged();
    let file = File::options().write(true).open(place.path("a.img"));
    let file = file.expect("an image");
    for copy in [0, 4096] {
        file.write_all_at(b"x", copy + 100).expect("a byte changed");
    }
    let damaged = place.read("a.img");
    let run = place.run(["fsck", "--repair", "a.img"]);
    assert_eq!(run.code, 4, "{run:?}");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(said.contains("left as it was"), "{said}");
    assert!(place.read("a.img") == damaged, "fsck changed the image");
}

#[test]
fn a_path_must_begin_with_a_slash() {
    let place = Workplace::with_image();
    place.run(["ls", "a.img:x"]).failed(2, &["a.img:/x"]);
    place.run(["ls", "a.img"]).failed(2, &["a.img:/"]);
    place.run(["cp", "a.img:x", "y"]).failed(1, &["a.img:/x"]);
    place.run(["cp", "x", "y"]).failed(1, &["IMAGE:/path"]);
}

#[test]
fn usage_mistakes_have_their_own_exit_codes() {
    let place = Workplace::new();
    place.run(["frobnicate"]).failed(2, &["frobnicate"]);
    place.run(["mkfs", "a.img"]).failed(2, &["SIZE"]);
    place.run(["mkfs", "a.img", "many"]).failed(2, &["many"]);
    place.run(["fsck"]).failed(16, &["IMAGE"]);
    place
        .run(["fsck", "--frobnicate"])
        .failed(16, &["frobnicate"]);
    place
        .run(["bench", "--seconds", "0"])
        .failed(2, &["seconds"]);
    place
        .run(["bench", "--threads", "0"])
        .failed(2, &["threads"]);
    place
        .run(["bench", "--io-lock", "magic"])
        .failed(2, &["magic"]);
    assert!(place.names().is_empty());
}

#[test]
fn an_existing_file_is_not_formatted_without_force() {
    let place = Workplace::with_image();
    place
        .run_with_input(["cp", "-", "a.img:/x"], b"precious")
        .succeeded();
    let before = place.read("a.img");
    place
        .run(["mkfs", "a.img", "16MiB"])
        .failed(1, &["a.img", "exists", "--force"]);
    assert!(
        place.read("a.img") == before,
        "the refused image was changed"
    );
}

#[test]
fn an_impossible_size_leaves_nothing_behind_and_replaces_nothing() {
    let place = Workplace::new();
    for size in ["0", "1MiB", "16EiB"] {
        let run = place.run(["mkfs", "a.img", size]);
        run.failed(1, &["a.img"]);
        assert!(place.names().is_empty(), "{size}");
    }
    place.write("old", b"old");
    place
        .run(["mkfs", "old", "1MiB", "--force"])
        .failed(1, &["old"]);
    assert_eq!(place.names(), ["old"]);
    assert_eq!(place.read("old"), b"old");
}

#[test]
fn a_full_image_says_so_and_keeps_no_half_file() {
    let place = Workplace::new();
    place.run(["mkfs", "a.img", "8MiB"]).succeeded();
    place.write("small", b"small");
    place.write("large", noise(9 << 20, 8));
    place.run(["cp", "small", "a.img:/small"]).succeeded();
    place
        .run(["cp", "large", "a.img:/large"])
        .failed(1, &["a.img:/large", "no space"]);
    assert_eq!(place.run(["ls", "a.img:/"]).succeeded(), "small\n");
    place
        .run(["cp", "large", "a.img:/small"])
        .failed(1, &["a.img:/small", "incomplete"]);
    place.run(["fsck", "a.img"]).succeeded();
}

#[test]
fn an_image_in_use_is_left_alone_and_the_user_told_how_to_find_the_other() {
    let place = Workplace::with_image();
    place.write("file", b"file");
    let path = place.path("a.img");
    let open = |access| Device::open_file(&path, access, PersistenceChoice::Detect);

    let writer = open(DeviceAccess::ReadWrite).expect("nobody else has it");
    place
        .run(["ls", "a.img:/"])
        .failed(1, &["a.img", "in use", "fuser -v a.img"]);
    place.run(["cp", "file", "a.img:/x"]).failed(1, &["in use"]);
    place
        .run(["mkfs", "a.img", "16MiB", "--force"])
        .failed(1, &["in use"]);
    place.run(["fsck", "a.img"]).failed(8, &["in use"]);
    drop(writer);

    let _reader = open(DeviceAccess::ReadOnly).expect("nobody else has it");
    place.run(["ls", "a.img:/"]).succeeded();
    place.run(["rm", "a.img:/x"]).failed(1, &["in use"]);
    assert_eq!(place.names(), ["a.img", "file"]);
}
