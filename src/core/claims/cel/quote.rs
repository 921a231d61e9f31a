//! Texts in quotation marks, as `strconv.Quote` of Go writes them.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

/// What can stand in a line of text, by the Unicode that Go knows.
static PRINTABLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[[\p{L}\p{M}\p{N}\p{P}\p{S} ]&&\p{age=15.0}]$").ok());

/// In quotation marks, with everything escaped that cannot be seen. What is no UTF-8 is written by its bytes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut quoted, c));
        chunk.invalid().iter().for_each(|byte| _ = write!(quoted, "\\x{byte:02x}"));
    }
    quoted.push('"');
    quoted
}

fn push(quoted: &mut String, c: char) {
    // Writing to a text does not fail.
    _ = match c {
        '"' | '\\' => write!(quoted, "\\{c}"),
        '\u{7}' => write!(quoted, "\\a"),
        '\u{8}' => write!(quoted, "\\b"),
        '\u{c}' => write!(quoted, "\\f"),
        '\n' => write!(quoted, "\\n"),
        '\r' => write!(quoted, "\\r"),
        '\t' => write!(quoted, "\\t"),
        '\u{b}' => write!(quoted, "\\v"),
        '\0'..' ' | '\u{7f}' => write!(quoted, "\\x{:02x}", u32::from(c)),
        c if is_printable(c) => write!(quoted, "{c}"),
        '\0'..='\u{ffff}' => write!(quoted, "\\u{:04x}", u32::from(c)),
        c => write!(quoted, "\\U{:08x}", u32::from(c)),
    };
}

fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    PRINTABLE.as_ref().is_some_and(|printable| printable.is_match(c.encode_utf8(&mut [0; 4])))
}
