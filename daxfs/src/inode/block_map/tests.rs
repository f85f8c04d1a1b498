//! The map against an oracle, and threads that race for one hole.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Device block and mark of each block of the file.
type Oracle = BTreeMap<u64, (u64, Sharing)>;

#[derive(Clone, Copy, Debug)]
enum Change {
    Insert,
    Remove,
    Replace(Sharing),
    Mark(Sharing),
}

#[derive(Clone, Debug)]
struct Step {
    change: Change,
    file_block: u64,
    len: u64,
}

fn sharing() -> impl Strategy<Value = Sharing> {
    prop_oneof![Just(Sharing::Exclusive), Just(Sharing::Shared)]
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        3 => Just(Change::Insert),
        2 => Just(Change::Remove),
        2 => sharing().prop_map(Change::Replace),
        2 => sharing().prop_map(Change::Mark),
    ];
    (change, 0u64..1600, 1u64..1200, any::<bool>()).prop_map(|(change, file_block, len, align)| {
        let (file_block, len) = match align {
            true => (file_block / 512 * 512, len.div_ceil(512) * 512),
            false => (file_block, len),
        };
        Step {
            change,
            file_block,
            len,
        }
    })
}

fn oracle_extents(oracle: &Oracle) -> Vec<FileExtent> {
    let mut extents: Vec<FileExtent> = Vec::new();
    for (&file_block, &(block, sharing)) in oracle {
        let one = FileExtent {
            file_block,
            run: Run::new(block, 1),
            sharing,
        };
        match extents.last_mut() {
            Some(last) if last.is_continued_by(&one) => last.run.len_blocks += 1,
            _ => extents.push(one),
        }
    }
    extents
}

fn singly(runs: &[MappedRun]) -> Vec<(u64, Sharing)> {
    let blocks = |mapped: &MappedRun| mapped.run.block..mapped.run.end();
    runs.iter()
        .flat_map(|mapped| blocks(mapped).map(|block| (block, mapped.sharing)))
        .collect()
}

fn taken(oracle: &mut Oracle, range: Range<u64>) -> Vec<(u64, Sharing)> {
    let taken = oracle.range(range.clone()).map(|(_, found)| *found);
    let taken = taken.collect();
    oracle.retain(|block, _| !range.contains(block));
    taken
}

fn check_step(map: &BlockMap, oracle: &mut Oracle, step: &Step, block: u64) {
    let range = step.file_block..step.file_block + step.len;
    let run = Run::new(block, step.len);
    let all = |sharing| (0..step.len).map(move |n| (step.file_block + n, (block + n, sharing)));
    match step.change {
        Change::Insert => {
            let is_free = |n: &u64| !oracle.contains_key(&(step.file_block + n));
            let expected = (0..step.len).take_while(is_free).count();
            assert_eq!(map.insert_into_hole(step.file_block, run), expected as u64);
            oracle.extend(all(Sharing::Exclusive).take(expected));
        }
        Change::Remove => {
            let removed = map.remove(range.clone());
            assert_eq!(singly(&removed), taken(oracle, range));
        }
        Change::Replace(sharing) => {
            let replaced = map.replace(step.file_block, MappedRun { run, sharing });
            assert_eq!(singly(&replaced), taken(oracle, range));
            oracle.extend(all(sharing));
        }
        Change::Mark(sharing) => {
            map.mark(range.clone(), sharing);
            let marked = oracle.range_mut(range);
            marked.for_each(|(_, found)| found.1 = sharing);
        }
    }
}

fn check_look_up(map: &BlockMap, oracle: &Oracle, file_block: u64, max: u64) {
    let found = map.look_up(file_block, max);
    let len = found.len_blocks();
    assert!(len >= 1 && len <= max, "{found:?}");
    for n in 0..len {
        let expected = oracle.get(&(file_block + n)).copied();
        let here = match found {
            Found::Hole { .. } => None,
            Found::Mapped(mapped) => Some((mapped.run.block + n, mapped.sharing)),
        };
        assert_eq!(here, expected, "at {}", file_block + n);
    }
}

proptest! {
    #[test]
    fn agrees_with_an_ordered_map(
        steps in proptest::collection::vec(step(), 1..60),
        probes in proptest::collection::vec((0u64..3000, 1u64..1500), 20),
    ) {
        let map = BlockMap::default();
        let mut oracle = Oracle::new();
        let mut next_block = 512;
        for step in &steps {
            check_step(&map, &mut oracle, step, next_block);
            next_block += step.len;
            prop_assert_eq!(map.allocated_blocks(), oracle.len() as u64);
        }
        prop_assert_eq!(map.extents(), oracle_extents(&oracle));
        for (file_block, max) in probes {
            check_look_up(&map, &oracle, file_block, max);
        }
    }
}

#[test]
fn one_of_two_racing_allocators_wins_each_block() {
    for _ in 0..200 {
        let map = BlockMap::default();
        let start = std::sync::Barrier::new(2);
        let inserted: u64 = std::thread::scope(|scope| {
            let racers = [10_000, 20_000].map(|base| {
                let (map, start) = (&map, &start);
                scope.spawn(move || {
                    start.wait();
                    (0..64)
                        .map(|n| map.insert_into_hole(n, Run::new(base + n, 1)))
                        .sum::<u64>()
                })
            });
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(inserted, 64);
        assert_eq!(map.allocated_blocks(), 64);
    }
}
