//! A set of groups that is searched without a lock: one bit for each group.
//!
//! It says where to look; what a group is, only the group's latch tells. A bit changes when a group
//! begins or ceases to be of a class, not with each block, so that threads that work in different
//! groups seldom write to the same word.
//!
//! # Memory ordering
//! Relaxed: whoever acts on a bit takes the group's latch and looks again.

use std::sync::atomic::{AtomicU64, Ordering};

const BITS: usize = u64::BITS as usize;

pub(super) struct GroupSet {
    words: Box<[AtomicU64]>,
}

impl GroupSet {
    /// None of `groups` is in it.
    pub(super) fn new(groups: usize) -> Self {
        let words = groups.div_ceil(BITS);
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(super) fn insert(&self, group: usize) {
        let word = &self.words[group / BITS];
        if word.load(Ordering::Relaxed) & bit(group) == 0 {
            word.fetch_or(bit(group), Ordering::Relaxed);
        }
    }

    pub(super) fn remove(&self, group: usize) {
        let word = &self.words[group / BITS];
        if word.load(Ordering::Relaxed) & bit(group) != 0 {
            word.fetch_and(!bit(group), Ordering::Relaxed);
        }
    }

    /// Tries the groups that are in this set and not in `except`, from `from` on and then from the
    /// first, until `accept` takes one.
    pub(super) fn find<T>(
        &self,
        except: Option<&Self>,
        from: usize,
        mut accept: impl FnMut(usize) -> Option<T>,
    ) -> Option<T> {
        let count = self.words.len();
        if count == 0 {
            return None;
        }
        let first = from / BITS % count;
        let before_from = bit(from) - 1;
        // The first word twice: the groups from `from` on, and in the end those before it.
        (0..=count).find_map(|step| {
            let word = (first + step) % count;
            let mut bits = self.bits(word, except);
            match step {
                0 => bits &= !before_from,
                _ if step == count => bits &= before_from,
                _ => {}
            }
            while bits != 0 {
                let group = word * BITS + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if let Some(accepted) = accept(group) {
                    return Some(accepted);
                }
            }
            None
        })
    }

    /// Takes all out, and hands them to `visit` in order.
    pub(super) fn drain(&self, mut visit: impl FnMut(usize)) {
        for (word, bits) in self.words.iter().enumerate() {
            if bits.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = bits.swap(0, Ordering::Relaxed);
            while bits != 0 {
                visit(word * BITS + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }

    fn bits(&self, word: usize, except: Option<&Self>) -> u64 {
        let bits = self.words[word].load(Ordering::Relaxed);
        bits & !except.map_or(0, |set| set.words[word].load(Ordering::Relaxed))
    }
}

fn bit(group: usize) -> u64 {
    1 << (group % BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(set: &GroupSet, except: Option<&GroupSet>, from: usize) -> Vec<usize> {
        let mut tried = Vec::new();
        let none: Option<()> = set.find(except, from, |group| {
            tried.push(group);
            None
        });
        assert_eq!(none, None);
        tried
    }

    #[test]
    fn each_member_is_tried_once_from_the_given_one_on() {
        let (set, except) = (GroupSet::new(200), GroupSet::new(200));
        for group in [0, 63, 64, 65, 130, 199] {
            set.insert(group);
        }
        except.insert(65);
        assert_eq!(order(&set, None, 64), [64, 65, 130, 199, 0, 63]);
        assert_eq!(order(&set, None, 65), [65, 130, 199, 0, 63, 64]);
        assert_eq!(order(&set, Some(&except), 0), [0, 63, 64, 130, 199]);
        set.remove(0);
        assert_eq!(set.find(None, 0, Some), Some(63));
        assert_eq!(order(&GroupSet::new(0), None, 7), []);
    }

    #[test]
    fn a_drain_takes_each_member_once() {
        let set = GroupSet::new(130);
        set.insert(129);
        set.insert(3);
        let mut drained = Vec::new();
        set.drain(|group| drained.push(group));
        set.drain(|group| drained.push(group));
        assert_eq!(drained, [3, 129]);
    }
}
