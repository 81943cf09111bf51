//! Checks that a file is whole, for formats whose decoders stop reading once the pixels are there.

use flate2::Crc;

/// Checks the chunks of a PNG file to its end, each with its checksum.
pub(super) fn png(bytes: &[u8]) -> Result<(), String> {
    let mut at = 8;
    loop {
        let (length, kind) = (number(bytes, at)?, field(bytes, at + 4, 4)?);
        let content = field(bytes, at + 8, length as usize)?;
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(content);
        at += 8 + content.len();
        if number(bytes, at)? != crc.sum() {
            return Err(format!("is damaged: chunk {} has a wrong checksum", kind.escape_ascii()));
        }
        at += 4;
        if kind == b"IEND" {
            return Ok(());
        }
    }
}

/// Checks that the blocks of a GIF file go on to its end.
pub(super) fn gif(bytes: &[u8]) -> Result<(), String> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + table(field(bytes, 10, 1)?[0]);
    loop {
        match field(bytes, at, 1)?[0] {
            b';' => return Ok(()),
            b',' => at += 11 + table(field(bytes, at + 9, 1)?[0]),
            b'!' => at += 2,
            // Some writers leave zeros between blocks.
            0 => {
                at += 1;
                continue;
            }
            other => return Err(format!("is damaged: a block begins with {other} at byte {at}")),
        }
        // Parts of up to 255 bytes follow, and one of none.
        loop {
            let length = field(bytes, at, 1)?[0];
            field(bytes, at + 1, length.into())?;
            at += 1 + usize::from(length);
            if length == 0 {
                break;
            }
        }
    }
}

/// Checks that a WebP file has as many bytes as it says.
pub(super) fn webp(bytes: &[u8]) -> Result<(), String> {
    let length = field(bytes, 4, 4)?;
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
    field(bytes, 8, length as usize).map(|_| ())
}

fn number(bytes: &[u8], at: usize) -> Result<u32, String> {
    field(bytes, at, 4).map(|field| u32::from_be_bytes([field[0], field[1], field[2], field[3]]))
}

fn field(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], String> {
    let field = at.checked_add(length).and_then(|end| bytes.get(at..end));
    field.ok_or_else(|| format!("is cut short, it ends after {} bytes", bytes.len()))
}
