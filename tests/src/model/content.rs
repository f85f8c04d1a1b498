//! What a file of the model holds: bytes, and which blocks are there.

use daxfs::{Length, PAGE_BYTES};

use super::failure::Failure;
use super::{FileId, Model};

const BLOCK: usize = PAGE_BYTES as usize;

impl Model {
    /// All bytes of a file.
    ///
    /// # Panics
    /// When it is no file; so do all that follow.
    #[must_use]
    pub fn content(&self, id: FileId) -> &[u8] {
        self.node(id).content()
    }

    /// What a read of `len` bytes gives.
    #[must_use]
    pub fn read_at(&self, id: FileId, offset: usize, len: usize) -> &[u8] {
        let content = self.content(id);
        let start = offset.min(content.len());
        &content[start..offset.saturating_add(len).clamp(start, content.len())]
    }

    /// Writes; an empty write does nothing.
    pub fn write_at(&mut self, id: FileId, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        self.add_blocks(id, offset, end);
        let content = self.content_mut(id);
        content.resize(content.len().max(end), 0);
        content[offset..end].copy_from_slice(bytes);
    }

    /// Writes at the end.
    pub fn append(&mut self, id: FileId, bytes: &[u8]) {
        let end = self.content(id).len();
        self.write_at(id, bytes, end);
    }

    /// Sets the length.
    pub fn truncate(&mut self, id: FileId, len: usize) {
        let node = self.node_mut(id);
        if len < node.content().len() {
            let _gone = node.blocks.split_off(&len.div_ceil(BLOCK));
        }
        node.content_mut().resize(len, 0);
    }

    /// Zeroes a range; the length stays.
    pub fn punch_hole(&mut self, id: FileId, offset: usize, len: usize) {
        let (node, end) = (self.node_mut(id), offset + len);
        let is_to_the_end = end >= node.content().len();
        let last = if is_to_the_end {
            end.div_ceil(BLOCK)
        } else {
            end / BLOCK
        };
        let whole = offset.div_ceil(BLOCK)..last;
        node.blocks.retain(|block| !whole.contains(block));
        self.zero(id, offset, len);
    }

    /// Gives a range blocks.
    pub fn allocate(&mut self, id: FileId, offset: usize, len: usize, length: Length) {
        self.add_blocks(id, offset, offset + len);
        let content = self.content_mut(id);
        if length == Length::Grow {
            content.resize(content.len().max(offset + len), 0);
        }
    }

    /// Zeroes a range and gives it blocks.
    pub fn zero_range(&mut self, id: FileId, offset: usize, len: usize, length: Length) {
        self.zero(id, offset, len);
        self.allocate(id, offset, len, length);
    }

    /// Takes a range out.
    ///
    /// # Errors
    /// [`Failure::InvalidOption`] when it is not whole blocks or does not end before the file.
    pub fn collapse_range(&mut self, id: FileId, offset: usize, len: usize) -> Result<(), Failure> {
        let end = offset + len;
        check_whole_blocks(offset, len)?;
        if end >= self.content(id).len() {
            return Err(Failure::InvalidOption);
        }
        self.content_mut(id).drain(offset..end);
        let moved = |block: usize| match block {
            before if before < offset / BLOCK => Some(before),
            gone if gone < end / BLOCK => None,
            after => Some(after - len / BLOCK),
        };
        let blocks = &mut self.node_mut(id).blocks;
        *blocks = blocks.iter().filter_map(|block| moved(*block)).collect();
        Ok(())
    }

    /// Puts a hole into a file.
    ///
    /// # Errors
    /// [`Failure::InvalidOption`] when it is not whole blocks or does not begin within the file.
    pub fn insert_range(&mut self, id: FileId, offset: usize, len: usize) -> Result<(), Failure> {
        check_whole_blocks(offset, len)?;
        if offset >= self.content(id).len() {
            return Err(Failure::InvalidOption);
        }
        let hole = std::iter::repeat_n(0, len);
        self.content_mut(id).splice(offset..offset, hole);
        let moved = |block: usize| match block < offset / BLOCK {
            true => block,
            false => block + len / BLOCK,
        };
        let blocks = &mut self.node_mut(id).blocks;
        *blocks = blocks.iter().map(|block| moved(*block)).collect();
        Ok(())
    }

    /// Gives a range of one file to another; no bytes stand for all up to the end.
    ///
    /// # Errors
    /// [`Failure::InvalidOption`] when the range does not begin at whole blocks on both sides, ends
    /// within a block but not with both files, is not within the one, or overlaps itself.
    pub fn clone_range(
        &mut self,
        from: FileId,
        offset: usize,
        len: usize,
        (to, to_offset): (FileId, usize),
    ) -> Result<(), Failure> {
        let source_len = self.content(from).len();
        let len = match len {
            0 => source_len.saturating_sub(offset),
            given => given,
        };
        let (end, to_end) = (offset + len, to_offset + len);
        let overlaps = from == to && offset < to_end && to_offset < end;
        let is_cut =
            !len.is_multiple_of(BLOCK) && (end != source_len || to_end < self.content(to).len());
        let is_aligned = (offset | to_offset).is_multiple_of(BLOCK);
        if !is_aligned || end > source_len || overlaps || is_cut {
            return Err(Failure::InvalidOption);
        }
        if len == 0 {
            return Ok(());
        }
        let bytes = self.content(from)[offset..end].to_vec();
        let whole = offset / BLOCK..end.div_ceil(BLOCK);
        let shared = self.node(from).blocks.range(whole.clone()).copied();
        let shift = |block: usize| block - offset / BLOCK + to_offset / BLOCK;
        let shared: Vec<usize> = shared.map(shift).collect();
        self.write_at(to, &bytes, to_offset);
        let blocks = &mut self.node_mut(to).blocks;
        blocks.retain(|block| !(shift(whole.start)..shift(whole.end)).contains(block));
        blocks.extend(shared);
        Ok(())
    }

    /// Copies from one file to another, and returns how many bytes.
    ///
    /// # Errors
    /// [`Failure::InvalidOption`] when the range overlaps itself.
    pub fn copy_range(
        &mut self,
        from: FileId,
        offset: usize,
        len: usize,
        (to, to_offset): (FileId, usize),
    ) -> Result<usize, Failure> {
        let bytes = self.read_at(from, offset, len).to_vec();
        let len = bytes.len();
        if from == to && offset < to_offset + len && to_offset < offset + len {
            return Err(Failure::InvalidOption);
        }
        self.write_at(to, &bytes, to_offset);
        Ok(len)
    }

    // ---- Mappings -----------------------------------------------------------------------------

    /// Stores at `offset` of a mapping that begins at `mapped_from` of the file. What goes past the
    /// end of file, in its last page, is not part of the file.
    ///
    /// # Errors
    /// [`Failure::Access`] at the first page past the end of file; what comes before is stored.
    pub fn store(
        &mut self,
        id: FileId,
        mapped_from: usize,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let result = self.check_access(id, mapped_from, offset, bytes.len());
        let len = self.content(id).len();
        let start = (mapped_from + offset).min(len);
        let end = (mapped_from + offset + bytes.len()).min(len);
        if start < end {
            self.add_blocks(id, start, end);
        }
        self.content_mut(id)[start..end].copy_from_slice(&bytes[..end - start]);
        result
    }

    /// What loads through a mapping must show: the bytes that are inside the file.
    ///
    /// # Errors
    /// As [`Model::store`].
    pub fn load(
        &self,
        id: FileId,
        mapped_from: usize,
        offset: usize,
        len: usize,
    ) -> (&[u8], Result<(), Failure>) {
        let result = self.check_access(id, mapped_from, offset, len);
        (self.read_at(id, mapped_from + offset, len), result)
    }

    fn check_access(
        &self,
        id: FileId,
        mapped_from: usize,
        offset: usize,
        len: usize,
    ) -> Result<(), Failure> {
        let pages_end = self.content(id).len().next_multiple_of(BLOCK);
        let reachable = pages_end.saturating_sub(mapped_from);
        if len == 0 || offset + len <= reachable {
            return Ok(());
        }
        Err(Failure::Access {
            offset_bytes: offset.max(reachable) as u64,
        })
    }

    // ---- Both ---------------------------------------------------------------------------------

    fn zero(&mut self, id: FileId, offset: usize, len: usize) {
        let content = self.content_mut(id);
        let start = offset.min(content.len());
        let end = (offset + len).min(content.len());
        content[start..end].fill(0);
    }

    fn add_blocks(&mut self, id: FileId, start: usize, end: usize) {
        let blocks = start / BLOCK..end.div_ceil(BLOCK);
        self.node_mut(id).blocks.extend(blocks);
    }

    fn content_mut(&mut self, id: FileId) -> &mut Vec<u8> {
        self.node_mut(id).content_mut()
    }
}

fn check_whole_blocks(offset: usize, len: usize) -> Result<(), Failure> {
    match len > 0 && (offset | len).is_multiple_of(BLOCK) {
        true => Ok(()),
        false => Err(Failure::InvalidOption),
    }
}
