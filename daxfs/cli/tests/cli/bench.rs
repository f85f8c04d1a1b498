//! bench: the shape of its results, and that it leaves nothing behind. No test here looks at how
//! fast anything was.

use daxfs::MappingLock;
use serde_json::Value;

use crate::program::Workplace;

const FAST: [&str; 2] = ["--seconds", "0.004"];

fn run_bench(place: &Workplace, options: &[&str]) -> (String, Value) {
    let args = ["bench", "--json", "out.json"]
        .iter()
        .chain(&FAST)
        .chain(options);
    let table = place.run(args).succeeded();
    let json = serde_json::from_slice(&place.read("out.json")).expect("JSON");
    (table, json)
}

#[track_caller]
fn results(json: &Value) -> &Vec<Value> {
    json["results"].as_array().expect("an array of results")
}

fn texts<'a>(results: &'a [Value], workload: &str, field: &str) -> Vec<&'a str> {
    let of_workload = results
        .iter()
        .filter(|result| result["workload"] == workload);
    of_workload
        .map(|result| result[field].as_str().expect("text"))
        .collect()
}

#[test]
fn every_workload_is_measured_under_every_design_and_all_fields_are_there() {
    let place = Workplace::new();
    let (table, json) = run_bench(&place, &["--threads", "2"]);
    let results = results(&json);
    let designs: Vec<String> = MappingLock::ALL
        .iter()
        .map(MappingLock::to_string)
        .collect();
    assert_eq!(results.len(), 4 * 4 + 5 * designs.len());
    for workload in ["DWOM", "DWOL", "DRBM", "DRBL"] {
        assert_eq!(
            texts(results, workload, "io_lock"),
            ["inode", "range", "segment", "none"]
        );
        assert_eq!(texts(results, workload, "mapping_lock"), ["range"; 4]);
    }
    for workload in ["DMFM", "DMFH", "DMWM", "DMWH", "DWFM"] {
        assert_eq!(texts(results, workload, "mapping_lock"), designs);
        let io_locks = texts(results, workload, "io_lock");
        assert!(io_locks.iter().all(|&lock| lock == "range"));
    }
    for result in results {
        let number = |field: &str| result[field].as_f64().expect(field);
        let whole = |field: &str| result[field].as_u64().expect(field);
        assert_eq!((whole("threads"), whole("block_bytes")), (2, 4096));
        assert!(whole("ops") > 0 && number("seconds") > 0.0, "{result}");
        let ns_per_op = number("seconds") * 2.0 * 1e9 / number("ops");
        assert!(
            (number("ns_per_op") / ns_per_op - 1.0).abs() < 1e-6,
            "{result}"
        );
        assert!(whole("p50_ns") <= whole("p99_ns"), "{result}");
        assert!(whole("p99_ns") <= whole("p999_ns"), "{result}");
        let lock = result["mapping_lock"].as_str().expect("a name");
        let racy = !MappingLock::COHERENT.contains(&lock.parse().expect("a design"));
        assert!(
            result["coherent"].as_bool().expect("coherent") || racy,
            "{result}"
        );
    }
    let machine = &json["machine"];
    assert!(machine["cores"].as_u64().expect("cores") > 0);
    assert!(machine["cpu"].is_string() && machine["kernel"].is_string());
    assert!(
        json["backend"]["device"]
            .as_str()
            .expect("a device")
            .contains("memfd")
    );
    assert!(
        json["command"]
            .as_str()
            .expect("a command")
            .starts_with("daxfs bench --json")
    );
    for words in [
        "machine:",
        "back end:",
        "not persistent memory",
        "sleeps",
        "ratio to inode",
        "control",
    ] {
        assert!(table.contains(words), "{words}\n{table}");
    }
}

#[test]
fn selectors_select() {
    let place = Workplace::new();
    let options = [
        "--workload",
        "dwom,dmfm",
        "--io-lock",
        "range,inode",
        "--threads",
        "1,3",
    ];
    let (table, json) = run_bench(
        &place,
        &[&options[..], &["--mapping-lock", "range"]].concat(),
    );
    let results = results(&json);
    assert_eq!(results.len(), 2 * 2 + 2);
    let threads: Vec<_> = results
        .iter()
        .map(|result| result["threads"].as_u64().expect("threads"))
        .collect();
    assert_eq!(threads, [1, 1, 3, 3, 1, 3]);
    let ratio = |line: &str| line.split_whitespace().last().map(str::to_owned);
    let ratios = |workload: &str| -> Vec<_> {
        table
            .lines()
            .filter(|line| line.contains(workload))
            .filter_map(ratio)
            .collect()
    };
    assert_eq!(
        ratios("DMFM"),
        ["-", "-"],
        "without `inode` there is nothing to compare with"
    );
    let dwom = ratios("DWOM");
    assert_eq!(
        (dwom[1].as_str(), dwom[3].as_str()),
        ("1.00", "1.00"),
        "{table}"
    );
}

#[test]
fn software_page_tables_can_be_measured_too() {
    let place = Workplace::new();
    let (_, json) = run_bench(
        &place,
        &["--page-tables", "software", "--workload", "dmfm,dwfm"],
    );
    assert_eq!(json["backend"]["page_tables"], "software");
}

/// Whichever mechanism this kernel has: that of `process` is said, and `remap` is always there.
#[test]
fn the_mechanism_of_process_page_tables_can_be_asked_for_and_is_said() {
    let place = Workplace::new();
    let (text, json) = run_bench(
        &place,
        &["--page-tables", "process,remap", "--workload", "dmfm"],
    );
    let said = json["backend"]["page_tables"].as_str().expect("a string");
    let (usual, asked) = said.split_once(" and ").expect("two kinds");
    assert!(usual.starts_with("process ("), "{said}");
    assert_eq!(asked, "process (remap)");
    assert!(text.contains("DMFM remap"), "{text}");
}

#[test]
fn an_existing_image_keeps_what_it_holds_and_nothing_is_added() {
    let place = Workplace::new();
    place.run(["mkfs", "a.img", "300MiB"]).succeeded();
    place
        .run_with_input(["cp", "-", "a.img:/kept"], b"kept")
        .succeeded();
    let options = [
        "--image",
        "a.img",
        "--workload",
        "dwom,dmwm",
        "--threads",
        "2",
    ];
    let (_, json) = run_bench(&place, &options);
    assert_eq!(results(&json).len(), 4 + MappingLock::ALL.len());
    assert_eq!(place.run(["ls", "a.img:/"]).succeeded(), "kept\n");
    assert_eq!(place.run(["cat", "a.img:/kept"]).succeeded(), "kept");
    place.run(["fsck", "a.img"]).succeeded();
    assert_eq!(place.names(), ["a.img", "out.json"]);
}

#[test]
fn a_missing_image_is_made_and_vanishes() {
    let place = Workplace::new();
    run_bench(
        &place,
        &["--image", "b.img", "--workload", "drbl", "--threads", "1"],
    );
    assert_eq!(place.names(), ["out.json"]);
}

#[test]
fn too_small_an_image_is_said_to_be_so_and_left_as_it_was() {
    let place = Workplace::with_image();
    let run = place.run(["bench", "--image", "a.img", "--seconds", "0.004"]);
    run.failed(1, &["a.img", "needed", "--threads"]);
    assert_eq!(place.run(["ls", "a.img:/"]).succeeded(), "");
    place.run(["fsck", "a.img"]).succeeded();
}

#[test]
fn json_that_cannot_be_written_is_refused_before_anything_is_measured() {
    let place = Workplace::new();
    let run = place.run(["bench", "--json", "no/such/place.json"]);
    run.failed(1, &["no/such: there is no such directory"]);
    assert!(run.stdout.is_empty());
}
