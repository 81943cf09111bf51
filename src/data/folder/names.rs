//! Class names from the names of folders, and names for people.

use std::ffi::OsStr;
use std::fmt::Write;

use crate::error::printable;

/// The name of the class in a folder called `name`, as text. Two different names never become one.
///
/// Bytes that are not UTF-8 become `\xNN`. A name that has such bytes, or that holds `\x` itself, has its backslashes
/// doubled. Every other name stays as it is.
pub(super) fn class_name(name: &OsStr) -> String {
    let bytes = name.as_encoded_bytes();
    if let Some(text) = name.to_str().filter(|text| !text.contains("\\x")) {
        return text.to_string();
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            // Writing to a string can't fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The first of some names, for people.
pub(in crate::data) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(printable).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn names_that_differ_stay_different() {
        let names: [&[u8]; 10] = [
            b"ant",
            b"a\xff",
            b"a\xfe",
            b"a\\xff",
            b"a\\\\xff",
            b"a\\",
            b"a\\\xff",
            b"a\\\\",
            "猫".as_bytes(),
            b"a\nb",
        ];
        let texts = names.map(|name| class_name(OsStr::from_bytes(name)));
        for (i, text) in texts.iter().enumerate() {
            assert!(!texts[..i].contains(text), "{text}");
        }
        assert_eq!(texts[0], "ant");
        assert_eq!(texts[1], "a\\xff");
        assert_eq!(texts[3], "a\\\\xff");
        assert_eq!(texts[8], "猫");
        assert_eq!(texts[9], "a\nb");
    }
}
