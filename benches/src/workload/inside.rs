//! What a thread does while it holds its range. Takes no lock.

use std::hint::black_box;

use super::PAGE_BYTES;

/// Work of one thread.
pub trait Inside {
    /// Makes what `thread` needs.
    fn new(thread: usize) -> Self;

    /// Works once.
    fn work(&mut self);
}

/// Nothing: what remains is the price of the lock.
#[derive(Debug)]
pub struct Nothing;

impl Inside for Nothing {
    fn new(_thread: usize) -> Self {
        Self
    }

    #[inline(always)]
    fn work(&mut self) {}
}

/// A copy of 4 KiB that stays in the cache.
#[derive(Debug)]
pub struct CopyPage {
    from: Box<Page>,
    to: Box<Page>,
}

type Page = [u8; PAGE_BYTES as usize];

impl Inside for CopyPage {
    fn new(thread: usize) -> Self {
        let page = Box::new([thread as u8; PAGE_BYTES as usize]);
        Self {
            from: page.clone(),
            to: page,
        }
    }

    #[inline(always)]
    fn work(&mut self) {
        self.to.copy_from_slice(black_box(&*self.from));
        black_box(&mut *self.to);
    }
}
