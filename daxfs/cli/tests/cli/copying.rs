//! cp and cat: into, out of and inside images; trees and pipes.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::program::{Workplace, noise};

/// Makes a small tree on the host: empty, short, odd and long files, and an empty directory.
fn make_tree(place: &Workplace) {
    place.write("tree/empty", b"");
    place.write("tree/short", b"short\n");
    place.write("tree/sub/odd", noise(4097, 1));
    place.write("tree/sub/deeper/long", noise((3 << 20) + 5, 2));
    for index in 0..40 {
        place.write(
            &format!("tree/many/{index}"),
            noise(100 * index, index as u64),
        );
    }
    fs::create_dir_all(place.path("tree/hollow")).expect("a directory");
}

#[track_caller]
fn assert_same_trees(left: &Path, right: &Path) {
    let names = |directory: &Path| {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(left),
        names(right),
        "{} {}",
        left.display(),
        right.display()
    );
    for name in names(left) {
        let (left, right) = (left.join(&name), right.join(&name));
        if left.is_dir() {
            assert_same_trees(&left, &right);
        } else {
            assert!(
                fs::read(&left).ok() == fs::read(&right).ok(),
                "{}",
                left.display()
            );
        }
    }
}

#[test]
fn a_tree_survives_the_way_in_around_and_out() {
    let place = Workplace::with_image();
    make_tree(&place);
    place.run(["cp", "-r", "tree", "a.img:/"]).succeeded();
    place
        .run(["cp", "-r", "a.img:/tree", "a.img:/copy"])
        .succeeded();
    place.run(["mkfs", "b.img", "16MiB"]).succeeded();
    place
        .run(["cp", "-r", "a.img:/copy", "b.img:/"])
        .succeeded();
    place.run(["cp", "-r", "b.img:/copy", "out"]).succeeded();
    assert_same_trees(&place.path("tree"), &place.path("out"));
    for image in ["a.img", "b.img"] {
        assert!(place.run(["fsck", image]).succeeded().contains("44 files") || image == "a.img");
    }
}

#[test]
fn the_root_directory_is_copied_as_what_it_holds() {
    let place = Workplace::with_image();
    make_tree(&place);
    place.run(["cp", "-r", "tree", "a.img:/"]).succeeded();
    place.run(["cp", "-r", "a.img:/", "out"]).succeeded();
    assert_same_trees(&place.path("tree"), &place.path("out/tree"));
}

#[test]
fn files_go_into_a_directory_or_onto_a_name() {
    let place = Workplace::with_image();
    place.write("one", b"1");
    place.write("two", b"22");
    place.run(["mkdir", "a.img:/d"]).succeeded();
    place.run(["cp", "one", "two", "a.img:/d"]).succeeded();
    place.run(["cp", "one", "a.img:/renamed"]).succeeded();
    assert_eq!(
        place
            .run(["cat", "a.img:/d/two", "a.img:/renamed"])
            .succeeded(),
        "221"
    );
    place
        .run(["cp", "one", "two", "a.img:/new"])
        .failed(1, &["a.img:/new", "not a directory"]);
}

#[test]
fn pipes_carry_every_byte() {
    let place = Workplace::with_image();
    let bytes = noise((2 << 20) + 77, 3);
    place
        .run_with_input(["cp", "-", "a.img:/piped"], &bytes)
        .succeeded();
    for args in [
        ["cp", "a.img:/piped", "-"].as_slice(),
        &["cat", "a.img:/piped"],
    ] {
        let run = place.run(args);
        run.succeeded();
        assert!(run.stdout == bytes, "{args:?} changed what it carried");
    }
}

#[test]
fn a_slow_pipe_of_odd_pieces_arrives_whole() {
    let place = Workplace::with_image();
    let pieces: [&[u8]; 4] = [b"abc", b"defgh", &[b'x'; 4099], b"end"];
    place
        .run_with_pieces(["cp", "-", "a.img:/piped"], &pieces)
        .succeeded();
    let run = place.run(["cat", "a.img:/piped"]);
    run.succeeded();
    assert!(run.stdout == pieces.concat(), "{run:?}");
}

#[test]
fn an_existing_file_is_overwritten_also_by_a_shorter_one() {
    let place = Workplace::with_image();
    place.write("long", noise(100_000, 4));
    place.write("short", b"short");
    place.run(["cp", "long", "a.img:/x"]).succeeded();
    place.run(["cp", "short", "a.img:/x"]).succeeded();
    assert_eq!(place.run(["cat", "a.img:/x"]).succeeded(), "short");
    place.run(["cp", "a.img:/x", "long"]).succeeded();
    assert_eq!(place.read("long"), b"short");
}

#[test]
fn a_copy_out_keeps_the_mode_of_what_it_replaces_and_follows_its_link() {
    let place = Workplace::with_image();
    place
        .run_with_input(["cp", "-", "a.img:/x"], b"new")
        .succeeded();
    place.write("target", b"old");
    fs::set_permissions(place.path("target"), fs::Permissions::from_mode(0o600)).expect("chmod");
    symlink("target", place.path("link")).expect("a link");
    place.run(["cp", "a.img:/x", "link"]).succeeded();
    assert!(place.path("link").is_symlink());
    assert_eq!(place.read("target"), b"new");
    let mode = fs::metadata(place.path("target"))
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(place.names(), ["a.img", "link", "target"]);
}

#[test]
fn a_copy_that_fails_leaves_the_old_file_and_nothing_else() {
    let place = Workplace::with_image();
    place.write("kept", b"old");
    place
        .run(["cp", "a.img:/missing", "kept"])
        .failed(1, &["a.img:/missing", "no such file"]);
    assert_eq!(place.read("kept"), b"old");
    place
        .run(["cp", "a.img:/missing", "fresh"])
        .failed(1, &["a.img:/missing"]);
    assert_eq!(place.names(), ["a.img", "kept"]);
}

#[test]
fn a_device_can_be_the_target() {
    let place = Workplace::with_image();
    place
        .run_with_input(["cp", "-", "a.img:/x"], b"new")
        .succeeded();
    place.run(["cp", "a.img:/x", "/dev/null"]).succeeded();
    let metadata = fs::metadata("/dev/null").expect("/dev/null");
    assert!(!metadata.is_file(), "it must not be replaced by a file");
}

#[test]
fn links_and_special_files_in_a_tree_are_skipped_aloud() {
    let place = Workplace::with_image();
    place.write("tree/file", b"file");
    symlink("file", place.path("tree/link")).expect("a link");
    let run = place.run(["cp", "-r", "tree", "a.img:/"]);
    run.failed(1, &["tree/link", "skipped"]);
    assert_eq!(place.run(["ls", "a.img:/tree"]).succeeded(), "file\n");
}

#[test]
fn one_bad_source_does_not_stop_the_others() {
    let place = Workplace::with_image();
    place.write("good", b"good");
    let run = place.run(["cp", "missing", "good", "a.img:/"]);
    run.failed(1, &["missing: no such file"]);
    assert_eq!(place.run(["cat", "a.img:/good"]).succeeded(), "good");
}

#[test]
fn what_would_destroy_its_source_is_refused() {
    let place = Workplace::with_image();
    place.run(["mkdir", "a.img:/d"]).succeeded();
    place
        .run_with_input(["cp", "-", "a.img:/x"], b"precious")
        .succeeded();
    place
        .run(["cp", "a.img:/x", "a.img:/x"])
        .failed(1, &["same file"]);
    place
        .run(["cp", "-r", "a.img:/d", "a.img:/d/inside"])
        .failed(1, &["into itself"]);
    place
        .run(["cp", "a.img", "a.img:/image"])
        .failed(1, &["one of the images"]);
    assert_eq!(place.run(["cat", "a.img:/x"]).succeeded(), "precious");

    place.write("p/same", b"1");
    place.write("q/same", b"2");
    place
        .run(["cp", "p/same", "q/same", "a.img:/d"])
        .failed(1, &["target of another source"]);
    assert_eq!(place.run(["cat", "a.img:/d/same"]).succeeded(), "1");
}

#[test]
fn a_directory_needs_r_and_cannot_replace_a_file() {
    let place = Workplace::with_image();
    place.write("tree/file", b"file");
    place
        .run(["cp", "tree", "a.img:/"])
        .failed(1, &["tree", "-r"]);
    place.run(["cp", "tree/file", "a.img:/tree"]).succeeded();
    place
        .run(["cp", "-r", "tree", "a.img:/"])
        .failed(1, &["a.img:/tree"]);
    assert_eq!(place.run(["cat", "a.img:/tree"]).succeeded(), "file");
}

#[test]
fn a_reader_that_goes_away_ends_cat_quietly() {
    let place = Workplace::with_image();
    place
        .run_with_input(["cp", "-", "a.img:/x"], &noise(4 << 20, 5))
        .succeeded();
    let mut child = place
        .command(["cat", "a.img:/x"])
        .spawn()
        .expect("the program starts");
    let mut first = [0; 10];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut first).expect("ten bytes");
    drop(stdout);
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
