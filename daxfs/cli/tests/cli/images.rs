//! mkfs, ls, mkdir, rm, df and fsck on sound images.

use crate::program::Workplace;

#[test]
fn a_new_image_is_empty_clean_and_has_its_size() {
    let place = Workplace::new();
    place
        .run(["mkfs", "a.img", "16MiB", "--label", "first"])
        .succeeded();
    assert_eq!(
        std::fs::metadata(place.path("a.img"))
            .expect("an image")
            .len(),
        16 << 20
    );
    assert_eq!(place.run(["ls", "a.img:/"]).succeeded(), "");
    let checked = place.run(["fsck", "a.img"]).succeeded();
    assert!(checked.starts_with("a.img: clean\n"), "{checked}");
    assert!(checked.contains("0 files, 1 directories"), "{checked}");
    assert_eq!(place.names(), ["a.img"]);
}

#[test]
fn force_replaces_an_image_by_one_of_another_size() {
    let place = Workplace::with_image();
    place
        .run_with_input(["cp", "-", "a.img:/old"], b"old")
        .succeeded();
    place.run(["mkfs", "a.img", "8MiB", "--force"]).succeeded();
    assert_eq!(place.run(["ls", "a.img:/"]).succeeded(), "");
    assert_eq!(
        std::fs::metadata(place.path("a.img"))
            .expect("an image")
            .len(),
        8 << 20
    );
    assert_eq!(place.names(), ["a.img"]);
}

#[test]
fn directories_are_made_listed_and_removed() {
    let place = Workplace::with_image();
    place.run(["mkdir", "a.img:/one", "a.img:/two"]).succeeded();
    place
        .run(["mkdir", "-p", "a.img:/one/x/y", "a.img:/one/x"])
        .succeeded();
    place
        .run_with_input(["cp", "-", "a.img:/one/file"], b"1234567")
        .succeeded();
    assert_eq!(place.run(["ls", "a.img:/"]).succeeded(), "one\ntwo\n");
    assert_eq!(place.run(["ls", "a.img:/one"]).succeeded(), "file\nx\n");
    assert_eq!(
        place.run(["ls", "a.img:/one/file"]).succeeded(),
        "/one/file\n"
    );

    place.run(["rm", "-r", "a.img:/one"]).succeeded();
    assert_eq!(place.run(["ls", "a.img:/"]).succeeded(), "two\n");
    place.run(["fsck", "a.img"]).succeeded();
}

#[test]
fn a_long_listing_shows_kind_permissions_links_size_and_time() {
    let place = Workplace::with_image();
    place.run(["mkdir", "a.img:/directory"]).succeeded();
    place
        .run_with_input(["cp", "-", "a.img:/file"], b"1234567")
        .succeeded();
    let listing = place.run(["ls", "-l", "a.img:/"]).succeeded();
    let lines: Vec<Vec<&str>> = listing
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 2);
    let (directory, file) = (&lines[0], &lines[1]);
    assert!(
        directory[0].starts_with("drwx") && file[0].starts_with("-rw"),
        "{listing}"
    );
    assert_eq!((directory[1], file[1]), ("2", "1"), "links");
    assert_eq!(file[2], "7", "size");
    assert_eq!((file[3].len(), file[4].len()), (10, 5), "date and time");
    assert_eq!((directory[5], file[5]), ("directory", "file"));
}

#[test]
fn several_listings_are_titled_and_one_that_fails_does_not_stop_the_others() {
    let place = Workplace::with_image();
    place.run(["mkdir", "a.img:/one"]).succeeded();
    let run = place.run(["ls", "a.img:/", "a.img:/missing", "a.img:/one"]);
    run.failed(1, &["a.img:/missing: no such file or directory"]);
    assert_eq!(run.stdout, b"a.img:/:\none\n\na.img:/one:\n");
}

#[test]
fn df_accounts_for_what_is_written_and_removed() {
    let place = Workplace::with_image();
    let used = || -> u64 {
        let table = place.run(["df", "--bytes", "a.img"]).succeeded();
        let fields: Vec<&str> = table
            .lines()
            .nth(1)
            .expect("a row")
            .split_whitespace()
            .collect();
        assert_eq!((fields[0], fields[1]), ("a.img", "16777216"));
        fields[2].parse().expect("a number of bytes")
    };
    let before = used();
    place
        .run_with_input(["cp", "-", "a.img:/file"], &[7; 3 << 20])
        .succeeded();
    let with_file = used();
    assert!(with_file - before >= 3 << 20, "{before} {with_file}");
    place.run(["rm", "a.img:/file"]).succeeded();
    assert!(used() - before < 1 << 20);
    let shown = place.run(["df", "a.img"]).succeeded();
    assert!(shown.contains("16.0 MiB"), "{shown}");
}

#[test]
fn rm_wants_r_for_directories_and_never_takes_the_root() {
    let place = Workplace::with_image();
    place.run(["mkdir", "a.img:/one"]).succeeded();
    place
        .run(["rm", "a.img:/one"])
        .failed(1, &["a.img:/one", "-r"]);
    place
        .run(["rm", "-r", "a.img:/"])
        .failed(1, &["root directory"]);
    assert_eq!(place.run(["ls", "a.img:/"]).succeeded(), "one\n");
}

#[test]
fn mkdir_fails_on_what_exists_and_on_missing_parents_unless_told() {
    let place = Workplace::with_image();
    place
        .run(["mkdir", "a.img:/x/y"])
        .failed(1, &["a.img:/x/y"]);
    place.run(["mkdir", "a.img:/x"]).succeeded();
    place
        .run(["mkdir", "a.img:/x"])
        .failed(1, &["a.img:/x: already exists"]);
    place
        .run_with_input(["cp", "-", "a.img:/x/file"], b"")
        .succeeded();
    place
        .run(["mkdir", "-p", "a.img:/x/file/y"])
        .failed(1, &["/x/file", "not a directory"]);
}

#[test]
fn help_and_version_are_no_failures() {
    let place = Workplace::new();
    assert!(place.run(["--help"]).succeeded().contains("fsck"));
    assert!(
        place
            .run(["fsck", "--help"])
            .succeeded()
            .contains("Exit codes")
    );
    assert!(place.run(["bench", "--help"]).succeeded().contains("ns/op"));
    assert!(place.run(["--version"]).succeeded().starts_with("daxfs "));
}
