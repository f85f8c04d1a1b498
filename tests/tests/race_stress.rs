//! The two races of 2017 on the processor's own page tables, with nobody held: a thousand rounds
//! for each mapping lock.
//!
//! One round: the pages are punched out; a writer and a reader meet at a barrier, and one fills the
//! pages while the other faults on them; afterwards `read_at` and loads must return the same,
//! which must be what was written. The window of the race, a hundred nanoseconds, is widened for
//! all designs alike ([`Jitter`]). The design is a parameter and nothing else differs, so `none`
//! **has to be caught**: it shows that the thousand rounds can tell.
//!
//! Bounded by rounds; no clock. Touches anonymous memory; takes no locks.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::{hint, thread};

use daxfs::{File, Filesystem, MapOptions, Mapping, MappingLock, MountOptions};
use daxfs_tests::choreography::Jitter;
use daxfs_tests::fixture::{Numbers, assert_clean, formatted, stress_factor};

const PAGE: u64 = 4096;
const PAGES: u64 = 4;
const ROUNDS: u64 = 1_000;

/// How the pages are filled.
#[derive(Clone, Copy, Debug)]
enum Filling {
    /// Race 1: by one write of all pages.
    Write,
    /// Race 2: by stores, whose faults allocate page by page.
    Store,
}

/// Who faults.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// The mapping that is stored to.
    SameMapping,
    /// Another mapping of the same file.
    OtherMapping,
}

/// What was found over all rounds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    /// Pages whose load differed from `read_at`.
    incoherent: u64,
    /// Pages that did not read as written.
    lost: u64,
}

fn mount(design: MappingLock) -> Filesystem {
    let mut options = MountOptions::default();
    options.mapping_lock = design;
    options.schedule = Some(Arc::new(Jitter::new(8)));
    Filesystem::mount(formatted(16 << 20), options).unwrap()
}

/// The word that a page is filled with in a round; never zero.
fn word(round: u64, page: u64) -> [u8; 8] {
    (Numbers::new(round * PAGES + page).next_number() | 1).to_le_bytes()
}

fn contents(round: u64) -> Vec<u8> {
    (0..PAGES)
        .flat_map(|page| word(round, page).repeat(PAGE as usize / 8))
        .collect()
}

fn fill(filling: Filling, file: &File, mapping: &Mapping, bytes: &[u8]) {
    match filling {
        Filling::Write => file.write_all_at(bytes, 0).unwrap(),
        Filling::Store => mapping.store(0, bytes).unwrap(),
    }
}

/// Faults on each page, in an order that differs from round to round. What is loaded while the
/// pages are being filled is the zero page or the new word.
fn fault(mapping: &Mapping, round: u64) {
    for step in 0..PAGES {
        let page = (step + round) % PAGES;
        let mut loaded = [0; 8];
        mapping.load(page * PAGE, &mut loaded).unwrap();
        assert!(
            loaded == [0; 8] || loaded == word(round, page),
            "round {round}: {loaded:x?}"
        );
    }
}

/// Compares every page, by both ways and in both mappings, with what was written.
fn compare(file: &File, mappings: [&Mapping; 2], round: u64, findings: &mut Findings) {
    let expected = contents(round);
    let mut read = vec![0; expected.len()];
    assert_eq!(file.read_at(&mut read, 0).unwrap(), read.len());
    let pages = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.chunks(PAGE as usize).map(<[u8]>::to_vec).collect()
    };
    let differ = |one: &[u8], other: &[u8]| {
        pages(one)
            .iter()
            .zip(pages(other))
            .filter(|(one, other)| *one != other)
            .count() as u64
    };
    findings.lost += differ(&read, &expected);
    for mapping in mappings {
        let mut loaded = vec![0; expected.len()];
        mapping.load(0, &mut loaded).unwrap();
        findings.incoherent += differ(&loaded, &read);
    }
}

/// Who is to be caught gets more rounds than those that must hold in all of them: how often the two
/// meet in the window depends on the machine.
fn rounds(design: MappingLock) -> u64 {
    let patience = if design.is_coherent() { 1 } else { 50 };
    ROUNDS * patience * u64::from(stress_factor())
}

/// Where two threads wait for each other without sleeping: to be woken takes longer than to fill
/// the pages.
#[derive(Default)]
struct Meeting(AtomicU32);

impl Meeting {
    fn wait(&self) {
        // Release and Acquire pair with each other, as those of a barrier do.
        self.0.fetch_add(1, AcqRel);
        for turn in 1_u32.. {
            if self.0.load(Acquire) == 2 {
                return;
            }
            match turn.is_multiple_of(1_000) {
                true => thread::yield_now(),
                false => hint::spin_loop(),
            }
        }
    }
}

fn race(design: MappingLock, filling: Filling, reader: Reader) -> Findings {
    let fs = mount(design);
    let device = Arc::clone(fs.device());
    let mut findings = Findings::default();
    {
        let file = fs.create("/raced").unwrap();
        file.truncate(PAGES * PAGE).unwrap();
        let stored = file.map(MapOptions::new(PAGES * PAGE)).unwrap();
        let other = file.map(MapOptions::new(PAGES * PAGE)).unwrap();
        let faulting = match reader {
            Reader::SameMapping => &stored,
            Reader::OtherMapping => &other,
        };
        for round in 0..rounds(design) {
            if findings.incoherent > 0 {
                break;
            }
            file.punch_hole(0, PAGES * PAGE).unwrap();
            let bytes = contents(round);
            // A meeting and a thread for each round: whoever fails leaves nobody waiting.
            let meet = Meeting::default();
            thread::scope(|scope| {
                scope.spawn(|| {
                    meet.wait();
                    fault(faulting, round);
                });
                meet.wait();
                fill(filling, &file, &stored, &bytes);
            });
            compare(&file, [&stored, &other], round, &mut findings);
        }
    }
    fs.unmount().unwrap();
    assert_clean(&device);
    findings
}

fn assert_that_just_the_coherent_are(filling: Filling, reader: Reader) {
    for design in MappingLock::ALL {
        let findings = race(design, filling, reader);
        println!("{design}: {findings:?}");
        assert_eq!(findings.lost, 0, "{design}, {filling:?}, {reader:?}");
        let is_caught = findings.incoherent > 0;
        if let (MappingLock::Recheck, Filling::Write) = (design, filling) {
            // What it narrows: it may get through, and need not.
            continue;
        }
        assert_eq!(
            is_caught,
            !design.is_coherent(),
            "{design}, {filling:?}: {findings:?}"
        );
    }
}

#[test]
fn writes_and_read_faults_stay_coherent_unless_the_design_is_incoherent() {
    assert_that_just_the_coherent_are(Filling::Write, Reader::SameMapping);
}

#[test]
fn stores_and_read_faults_stay_coherent_unless_the_design_is_incoherent() {
    assert_that_just_the_coherent_are(Filling::Store, Reader::SameMapping);
}

#[test]
fn stores_and_read_faults_in_two_mappings_stay_coherent_unless_the_design_is_incoherent() {
    assert_that_just_the_coherent_are(Filling::Store, Reader::OtherMapping);
}
