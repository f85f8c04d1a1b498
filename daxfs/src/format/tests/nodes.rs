//! Nodes and blocks of the space map read back, have one form only, and no bytes do harm.

use proptest::collection::vec;
use proptest::prelude::*;

use super::examples::*;
use crate::format::geometry::BLOCK_LEN;
use crate::format::image_geometry::{BLOCKS_PER_SPACE_LEAF, ImageGeometry};
use crate::format::item::{ItemKind, Key};
use crate::format::node::index::encode_index;
use crate::format::node::leaf::encode_leaf;
use crate::format::node::{IndexEntry, IndexNode, LeafNode, NodePlace};
use crate::format::space_block::{
    SpacePlace, SpaceWords, encode_space_index, encode_space_leaf, parse_space_index,
    parse_space_leaf,
};
use crate::format::{Block, BlockPointer, FormatError};

const BLOCK: u64 = 777;
const GENERATION: u64 = 42;

fn leaf_of(items: &[(Key, Vec<u8>)]) -> Block {
    let items = items.iter().map(|(key, value)| (*key, value.as_slice()));
    encode_leaf(BLOCK, GENERATION, items).unwrap()
}

fn index_of(level: u16, entries: &[IndexEntry]) -> Block {
    encode_index(BLOCK, level, GENERATION, entries).unwrap()
}

fn place(level: u16) -> NodePlace {
    NodePlace::of_root(BLOCK, level)
}

/// Parses `block` as any node; what parses must encode to the same bytes again.
fn has_one_form(block: &Block, level: u16) {
    if let Ok(leaf) = LeafNode::parse(block.clone(), &place(0)) {
        let items: Vec<_> = leaf.items().collect();
        let again = encode_leaf(BLOCK, leaf.generation(), items.iter().copied()).unwrap();
        assert_eq!(&again, block);
    }
    let level = level.max(1);
    if let Ok(node) = IndexNode::parse(block, &place(level)) {
        let again = encode_index(BLOCK, level, node.generation(), node.entries()).unwrap();
        assert_eq!(&again, block);
    }
}

proptest! {
    #[test]
    fn leaves_read_back(items in items()) {
        let leaf = LeafNode::parse(leaf_of(&items), &place(0)).unwrap();
        let found: Vec<_> = leaf.items().map(|(key, value)| (key, value.to_vec())).collect();
        prop_assert_eq!(&found, &items);
        prop_assert_eq!(leaf.generation(), GENERATION);
        for (key, value) in &items {
            prop_assert_eq!(leaf.get(*key), Some(value.as_slice()));
            if !items.iter().any(|(other, _)| *other == key.successor()) {
                prop_assert_eq!(leaf.get(key.successor()), None);
            }
        }
    }

    #[test]
    fn index_nodes_read_back(entries in entries(), level in 1..16_u16, probe in key()) {
        let node = IndexNode::parse(&index_of(level, &entries), &place(level)).unwrap();
        prop_assert_eq!(node.entries(), &entries[..]);
        let expected = entries.iter().rposition(|entry| entry.key <= probe);
        prop_assert_eq!(node.slot_of(probe), expected);
    }

    #[test]
    fn a_node_in_the_place_of_another_is_found(items in items(), entries in entries()) {
        let leaf = leaf_of(&items);
        let (first, last) = (items[0].0, items[items.len() - 1].0);
        let right = NodePlace { first_key: Some(first), end: last.successor(), ..place(0) };
        LeafNode::parse(leaf.clone(), &right).unwrap();
        let wrong = [
            NodePlace { block: BLOCK + 1, ..right },
            NodePlace { level: 1, ..right },
            NodePlace { first_key: Some(Key::MIN), ..right },
            NodePlace { first_key: Some(first.successor()), ..right },
            NodePlace { end: last, ..right },
        ];
        for wrong in wrong {
            LeafNode::parse(leaf.clone(), &wrong).unwrap_err();
        }
        let index = index_of(2, &entries);
        let (first, last) = (entries[0].key, entries[entries.len() - 1].key);
        let right = NodePlace { first_key: Some(first), end: last.successor(), ..place(2) };
        let node = IndexNode::parse(&index, &right).unwrap();
        node.check_place(&right).unwrap();
        let wrong = [
            NodePlace { level: 3, ..right },
            NodePlace { first_key: Some(Key::MIN), ..right },
            NodePlace { end: last, ..right },
        ];
        for wrong in wrong {
            IndexNode::parse(&index, &wrong).unwrap_err();
            node.check_place(&wrong).unwrap_err();
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), BLOCK_LEN), level in any::<u16>()) {
        let mut block = Block::zeroed();
        block.bytes_mut().copy_from_slice(&bytes);
        has_one_form(&block, level);
        let geometry = ImageGeometry::for_blocks(100_000);
        let _ = parse_space_leaf(&block, 1, &geometry);
        let _ = parse_space_index(&block, SpacePlace::new(1, 0), &geometry);
    }

    /// Nodes that are nearly right reach further into the parsers than random bytes.
    #[test]
    fn damaged_nodes_do_no_harm(
        items in items(),
        entries in entries(),
        head in vec((4..200_usize, any::<u8>()), 0..4),
        rest in vec((32..BLOCK_LEN, any::<u8>()), 0..4),
    ) {
        for block in [leaf_of(&items), index_of(1, &entries)] {
            has_one_form(&block, 1);
            for (at, byte) in head.iter().chain(&rest) {
                has_one_form(&damaged(&block, &[(*at, *byte)]), 1);
            }
            has_one_form(&damaged(&damaged(&block, &head), &rest), 1);
        }
    }

    #[test]
    fn space_leaves_read_back_and_have_one_form(
        words in vec(any::<u64>(), 508),
        index in 1..3_u64,
        damage in vec((4..BLOCK_LEN, any::<u8>()), 1..6),
    ) {
        let geometry = ImageGeometry::for_blocks(200_000);
        let words: SpaceWords = words.try_into().unwrap();
        let block = encode_space_leaf(index, GENERATION, &words).unwrap();
        prop_assert_eq!(*parse_space_leaf(&block, index, &geometry).unwrap(), words);
        parse_space_leaf(&block, index + 1, &geometry).unwrap_err();
        let damaged = damaged(&block, &damage);
        if let Ok(words) = parse_space_leaf(&damaged, index, &geometry) {
            let generation = u64::from_le_bytes(damaged.bytes()[16..24].try_into().unwrap());
            prop_assert_eq!(encode_space_leaf(index, generation, &words), Some(damaged));
        }
    }

    #[test]
    fn space_index_blocks_read_back_and_have_one_form(
        chosen in vec((any::<[bool; 2]>(), any::<u32>()), 31),
        damage in vec((4..BLOCK_LEN, any::<u8>()), 1..6),
    ) {
        let geometry = ImageGeometry::for_blocks(1_000_000);
        let place = SpacePlace::new(1, 0);
        prop_assert_eq!(geometry.space_children(1, 0), 31);
        let pointer = |(index, ([is_null, second], checksum)): (usize, ([bool; 2], u32))| {
            let block = geometry.space_slots(0, index as u64)[usize::from(second)];
            match is_null {
                true => BlockPointer::NULL,
                false => BlockPointer { block, checksum },
            }
        };
        let pointers: Vec<_> = chosen.into_iter().enumerate().map(pointer).collect();
        let encoded = encode_space_index(place, GENERATION, &pointers).unwrap();
        let Some(block) = encoded else {
            return Ok(());
        };
        let found = parse_space_index(&block, place, &geometry).unwrap();
        prop_assert_eq!(&found, &pointers);
        let damaged = damaged(&block, &damage);
        if let Ok(pointers) = parse_space_index(&damaged, place, &geometry) {
            let generation = u64::from_le_bytes(damaged.bytes()[16..24].try_into().unwrap());
            let again = encode_space_index(place, generation, &pointers).unwrap();
            prop_assert_eq!(again, Some(damaged));
        }
    }
}

fn item(position: u64, len: usize) -> (Key, Vec<u8>) {
    (Key::new(3, ItemKind::Dirent, position), vec![7; len])
}

#[test]
fn leaves_hold_what_the_format_document_says() {
    let of_len = |count: u64, len| (0..count).map(|n| item(n, len)).collect::<Vec<_>>();
    let encode = |items: &[(Key, Vec<u8>)]| {
        let items = items.iter().map(|(key, value)| (*key, value.as_slice()));
        encode_leaf(BLOCK, GENERATION, items)
    };
    encode(&of_len(169, 0)).unwrap();
    encode(&of_len(170, 0)).unwrap_err();
    encode(&of_len(3, 1024)).unwrap();
    encode(&of_len(4, 1024)).unwrap_err();
}

fn leaf_error(block: &Block) -> FormatError {
    LeafNode::parse(block.clone(), &place(0)).unwrap_err()
}

/// One wrong thing at a time, with the message that names it.
#[test]
fn what_is_wrong_with_a_leaf_is_said() {
    let block = leaf_of(&[item(1, 10), item(2, 20)]);
    let second = 32 + 24;
    let wrong: [(usize, u8, &str); 9] = [
        (0, b'X', "magic"),
        (4, 1, "level"),
        (6, 0, "count is 0"),
        (8, 1, "block"),
        (16, 0, "generation"),
        (24, 1, "reserved"),
        (
            second + 8,
            1,
            "tree leaf 1: key does not come after the key before it",
        ),
        (second + 16, 9, "tree leaf 1: kind is no kind of item"),
        (second + 18, 0, "tree leaf 1: value_offset"),
    ];
    for (at, byte, expected) in wrong {
        let error = leaf_error(&damaged(&block, &[(at, byte)])).to_string();
        assert!(error.contains(expected), "{at}: {error}");
    }
    let in_the_free_space = damaged(&block, &[(2000, 1)]);
    let error = leaf_error(&in_the_free_space).to_string();
    assert!(
        error.contains("space between slots and values must be zero"),
        "{error}"
    );
    let too_many = damaged(&block, &[(6, 170)]);
    assert!(leaf_error(&too_many).to_string().contains("count is 170"));
}

#[test]
fn bits_outside_the_data_area_are_found() {
    let geometry = ImageGeometry::for_blocks(40_000);
    assert_eq!(geometry.space_leaves(), 2);
    let bit = |block: u64| {
        let mut words = [0; 508];
        let at = block % BLOCKS_PER_SPACE_LEAF;
        words[(at / 64) as usize] = 1 << (at % 64);
        let index = block / BLOCKS_PER_SPACE_LEAF;
        let block = encode_space_leaf(index, 1, &words).unwrap();
        parse_space_leaf(&block, index, &geometry).map(drop)
    };
    let first = geometry.data_start_block;
    bit(first).unwrap();
    bit(39_999).unwrap();
    bit(first - 1).unwrap_err();
    bit(0).unwrap_err();
    bit(40_000).unwrap_err();
    bit(2 * BLOCKS_PER_SPACE_LEAF - 1).unwrap_err();
    assert_eq!(
        encode_space_leaf(0, 1, &[0; 508]),
        None,
        "an empty leaf is not stored"
    );
}
