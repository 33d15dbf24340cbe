//! Just enough LZ4 to unpack a kernel: the 'legacy' frame, a magic number and then blocks.

/// The first bytes of a legacy frame.
const MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// No legacy block unpacks to more.
const MAX_BLOCK: usize = 8 << 20;
/// No kernel unpacks to more.
const MAX_TOTAL: usize = 512 << 20;
/// Matches shorter than this are not encoded; the length field counts from here.
const MIN_MATCH: usize = 4;

/// Unpacks a frame; `None` when it is not one, or is damaged. What follows the last whole block is
/// ignored: a kernel's build appends the unpacked size.
pub(super) fn unpack(frame: &[u8]) -> Option<Vec<u8>> {
    let mut rest = frame.strip_prefix(&MAGIC)?;
    let mut output = Vec::new();
    while let Some((size, after)) = rest.split_first_chunk::<4>() {
        let size = u32::from_le_bytes(*size) as usize;
        let Some((block, after)) = after.split_at_checked(size) else {
            break;
        };
        unpack_block(block, &mut output)?;
        rest = after;
    }
    (!output.is_empty()).then_some(output)
}

fn unpack_block(mut input: &[u8], output: &mut Vec<u8>) -> Option<()> {
    let start = output.len();
    while let Some((&token, rest)) = input.split_first() {
        let (literals, rest) = length(usize::from(token >> 4), rest)?;
        let (literals, rest) = rest.split_at_checked(literals)?;
        output.extend_from_slice(literals);
        // A block ends behind literals, with no match.
        if rest.is_empty() {
            return Some(());
        }
        let (offset, rest) = rest.split_first_chunk::<2>()?;
        let offset = usize::from(u16::from_le_bytes(*offset));
        let (matched, rest) = length(usize::from(token & 15), rest)?;
        let from = output.len().checked_sub(offset)?;
        if offset == 0 || from < start {
            return None;
        }
        // A match may overlap what it makes, so the bytes are copied one by one.
        for position in from..from + matched + MIN_MATCH {
            output.push(output[position]);
        }
        if output.len() - start > MAX_BLOCK || output.len() > MAX_TOTAL {
            return None;
        }
        input = rest;
    }
    None
}

/// A nibble of 15 goes on in bytes, as long as they are 255.
fn length(nibble: usize, mut rest: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = nibble;
    if nibble == 15 {
        loop {
            let (&more, after) = rest.split_first()?;
            rest = after;
            length += usize::from(more);
            if more != 255 {
                break;
            }
        }
    }
    Some((length, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(block: &[u8]) -> Vec<u8> {
        let size = u32::try_from(block.len()).unwrap().to_le_bytes();
        [&MAGIC[..], &size, block].concat()
    }

    #[test]
    fn literals_and_an_overlapping_match() {
        // Two literals, then six bytes from two back; then the last literal.
        let block = [0x22, b'a', b'b', 2, 0, 0x10, b'!'];
        assert_eq!(unpack(&frame(&block)).unwrap(), b"abababab!");
    }

    #[test]
    fn damage_is_no_panic() {
        assert_eq!(unpack(b"gzip"), None);
        assert_eq!(unpack(&frame(&[0x22, b'a', b'b', 9, 0, 0x10, b'!'])), None);
        assert_eq!(unpack(&frame(&[0xf0, 255, 255])), None);
        assert_eq!(unpack(&frame(&[])), None);
    }
}
