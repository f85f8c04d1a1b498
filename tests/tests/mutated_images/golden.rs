//! The images that everything else is made from: small, with a bit of everything, and with a log.
//! One of them has checksums of data.
//!
//! Kept as the lines of 64 bytes that are not all zero, each after its number (u32).

/// Bytes of the image: the least that one can have.
pub(crate) const IMAGE_BYTES: usize = 4 << 20;
const LINE: usize = 64;
const ENTRY: usize = 4 + LINE;

/// The golden image without checksums of data.
pub(crate) fn golden() -> Vec<u8> {
    image_of(include_bytes!("golden.lines"))
}

/// The one with them.
pub(crate) fn golden_with_checksums() -> Vec<u8> {
    image_of(include_bytes!("golden_with_checksums.lines"))
}

fn image_of(lines: &[u8]) -> Vec<u8> {
    let mut image = vec![0; IMAGE_BYTES];
    for entry in lines.chunks_exact(ENTRY) {
        let Some((number, line)) = entry.split_first_chunk() else {
            continue;
        };
        let at = u32::from_le_bytes(*number) as usize * LINE;
        if let Some(place) = image.get_mut(at..at + LINE) {
            place.copy_from_slice(line);
        }
    }
    image
}
