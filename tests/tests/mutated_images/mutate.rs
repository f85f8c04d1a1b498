//! Changes of an image that bytes choose: whatever chooses bytes can look for trouble.
//!
//! Half of the bytes' choices are followed by new checksums, from the nodes up to the superblock:
//! such an image gets past every checksum, and meets the code behind them. Knows the format by its
//! offsets alone (`daxfs/docs/format.md`) and imports nothing of daxfs, which it is to surprise.
//! Works on any bytes, its own work among them. Plain memory, no locks.

/// Bytes in a block.
const BLOCK: usize = 4096;
/// Nodes that are sealed at most: what was changed may lead in circles.
const MOST_NODES: usize = 4096;

// Offsets within the superblock.
const GENERATION: usize = 64;
const ROOT: usize = 72;
const SPACE_ROOT: usize = 88;
const ROOT_LEVEL: usize = 104;
const LOG_START: usize = 128;
const LOG_BLOCKS: usize = 136;
const SPACE_MAP: usize = 144;
const LOG_FIRST: usize = 160;
const SUPERBLOCK_SUM: usize = 508;

/// What is left of the bytes that choose. Once they are used up everything is zero.
struct Choices<'b> {
    rest: &'b [u8],
}

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((first, rest)) => {
                self.rest = rest;
                *first
            }
            None => 0,
        }
    }

    fn number(&mut self, below: usize) -> usize {
        let bytes = [self.byte(), self.byte()];
        usize::from(u16::from_le_bytes(bytes)) % below.max(1)
    }

    fn is_over(&self) -> bool {
        self.rest.is_empty()
    }
}

/// What was found of an image before anything was changed.
struct Map {
    superblocks: Vec<usize>,
    nodes: Vec<usize>,
    space: Vec<usize>,
    log: Vec<usize>,
}

fn u64_at(image: &[u8], at: usize) -> u64 {
    let bytes = image.get(at..at + 8).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn u32_at(image: &[u8], at: usize) -> u32 {
    let bytes = image.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u16_at(image: &[u8], at: usize) -> u16 {
    let bytes = image.get(at..at + 2).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = image.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Where a block begins, if the image has it.
fn offset(image: &[u8], block: u64) -> Option<usize> {
    let at = usize::try_from(block).ok()?.checked_mul(BLOCK)?;
    (at.checked_add(BLOCK)? <= image.len()).then_some(at)
}

/// The CRC-32C of a block at `at`.
fn sum(image: &[u8], at: usize, len: usize) -> u32 {
    image.get(at..at + len).map_or(0, crc32c::crc32c)
}

impl Map {
    fn of(image: &[u8]) -> Self {
        let mut nodes = Vec::new();
        let level = u16_at(image, ROOT_LEVEL);
        collect_nodes(image, u64_at(image, ROOT), level, &mut nodes);
        let log_start = u64_at(image, LOG_START);
        let mut log = Vec::new();
        let ring = u64_at(image, LOG_BLOCKS).saturating_mul(BLOCK as u64);
        if let Some(start) = offset(image, log_start) {
            let mut at = u64_at(image, LOG_FIRST);
            while log.len() < MOST_NODES && ring > 0 {
                let place = start + (at % ring) as usize;
                let len = u32_at(image, place + 4);
                if u32_at(image, place) != u32::from_le_bytes(*b"DXlg") || len < 40 {
                    break;
                }
                log.push(place);
                at = at.saturating_add(u64::from(len).next_multiple_of(64));
            }
        }
        let space = offset(image, u64_at(image, SPACE_MAP));
        Self {
            superblocks: vec![0, BLOCK],
            nodes,
            space: space.into_iter().flat_map(|at| [at, at + BLOCK]).collect(),
            log,
        }
    }

    /// A place within something that matters.
    fn place(&self, choices: &mut Choices<'_>, image_len: usize) -> usize {
        let (starts, len) = match choices.byte() % 16 {
            0 | 1 => (&self.superblocks, 512),
            2..=9 => (&self.nodes, BLOCK),
            10 => (&self.space, BLOCK),
            11..=13 => (&self.log, 256),
            _ => return choices.number(image_len / 64) * 64 + choices.number(64),
        };
        let start = starts.get(choices.number(starts.len()));
        // Headers and slots are at the front, values at the end.
        let within = match choices.byte() % 4 {
            0 => choices.number(64),
            1 => len - 1 - choices.number(len / 4),
            _ => choices.number(len),
        };
        start.map_or(0, |start| start + within)
    }
}

fn collect_nodes(image: &[u8], block: u64, level: u16, nodes: &mut Vec<usize>) {
    let Some(at) = offset(image, block) else {
        return;
    };
    if nodes.len() >= MOST_NODES || nodes.contains(&at) {
        return;
    }
    nodes.push(at);
    if level > 0 {
        for entry in 0..usize::from(u16_at(image, at + 6)).min(101) {
            let child = u64_at(image, at + 32 + entry * 40 + 24);
            collect_nodes(image, child, level - 1, nodes);
        }
    }
}

/// Changes `image` as `bytes` say.
pub(crate) fn mutate(image: &mut [u8], bytes: &[u8]) {
    let map = Map::of(image);
    let mut choices = Choices { rest: bytes };
    let seals = choices.byte().is_multiple_of(2);
    // Both copies alike, or one of them.
    let copies = !choices.byte().is_multiple_of(4);
    while !choices.is_over() {
        change(image, &map, &mut choices);
    }
    if copies {
        image.copy_within(0..BLOCK, BLOCK);
    }
    if seals {
        seal(image);
    }
}

fn change(image: &mut [u8], map: &Map, choices: &mut Choices<'_>) {
    let at = map.place(choices, image.len());
    let aligned = at & !7;
    match choices.byte() % 8 {
        0 | 1 => {
            let bit = 1 << (choices.byte() % 8);
            if let Some(byte) = image.get_mut(at) {
                *byte ^= bit;
            }
        }
        2 => put(image, at, &[choices.byte()]),
        3 => put(image, aligned, &interesting(choices).to_le_bytes()),
        4 => put(image, at & !1, &(interesting(choices) as u16).to_le_bytes()),
        5 => {
            let value = u64_at(image, aligned).wrapping_add(u64::from(choices.byte()));
            put(image, aligned, &value.wrapping_sub(128).to_le_bytes());
        }
        6 => {
            let (from, len) = (map.place(choices, image.len()), 1 + choices.number(64));
            if from + len <= image.len() && at + len <= image.len() {
                image.copy_within(from..from + len, at);
            }
        }
        _ => {
            let len = 1 + choices.number(64);
            let end = (at + len).min(image.len());
            if let Some(place) = image.get_mut(at..end) {
                place.fill(0);
            }
        }
    }
}

/// A number that is at some edge, or one that somebody else uses.
fn interesting(choices: &mut Choices<'_>) -> u64 {
    let small = u64::from(choices.byte());
    match choices.byte() % 8 {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX - small,
        3 => 1 << (small % 64),
        4 => (1_u64 << (small % 64)).wrapping_sub(1),
        5 => 512 + small,
        _ => small,
    }
}

/// Gives everything that is there the checksum that it should have, from the leaves up.
pub(crate) fn seal(image: &mut [u8]) {
    let mut left = MOST_NODES;
    let level = u16_at(image, ROOT_LEVEL);
    if let Some(sum) = seal_node(image, u64_at(image, ROOT), level, &mut left) {
        put(image, ROOT + 8, &sum.to_le_bytes());
    }
    let space = u64_at(image, SPACE_ROOT);
    if let Some(at) = offset(image, space).filter(|_| space != 0) {
        let sum = sum(image, at, BLOCK);
        put(image, SPACE_ROOT + 8, &sum.to_le_bytes());
    }
    seal_log(image);
    let sum = sum(image, 0, SUPERBLOCK_SUM);
    put(image, SUPERBLOCK_SUM, &sum.to_le_bytes());
    if u64_at(image, BLOCK + GENERATION) == u64_at(image, GENERATION) {
        image.copy_within(0..BLOCK, BLOCK);
    }
}

fn seal_node(image: &mut [u8], block: u64, level: u16, left: &mut usize) -> Option<u32> {
    let at = offset(image, block).filter(|_| block != 0)?;
    *left = left.checked_sub(1)?;
    if level > 0 {
        for entry in 0..usize::from(u16_at(image, at + 6)).min(101) {
            let pointer = at + 32 + entry * 40 + 24;
            let child = u64_at(image, pointer);
            if let Some(sum) = seal_node(image, child, level - 1, left) {
                put(image, pointer + 8, &sum.to_le_bytes());
            }
        }
    }
    Some(sum(image, at, BLOCK))
}

fn seal_log(image: &mut [u8]) {
    for at in Map::of(image).log {
        let len = (u32_at(image, at + 4) as usize).min(BLOCK * 16);
        put(image, at + 36, &[0; 4]);
        let sum = sum(image, at, len);
        put(image, at + 36, &sum.to_le_bytes());
    }
}
