//! What a MIG profile is, apart from the product: compute share and variant, and how its names are written.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What a profile has beyond, or instead of, the plain share of its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// `3g`: the share of memory and media engines that goes with the size.
    Plain,
    /// `1g+2mem`: one compute slice with twice the memory. Its product name has no suffix (`1g.10gb` on A100-40GB).
    DoubleMemory,
    /// `+me`: with the media extensions, of which a GPU has one set.
    Media,
    /// `+me.all`: with every media engine of the GPU.
    AllMedia,
    /// `-me`: without media engines.
    NoMedia,
    /// `+gfx`: with graphics.
    Graphics,
}

impl Variant {
    /// The suffix in the driver's profile names; empty for the two that names cannot tell apart.
    fn suffix(self) -> &'static str {
        match self {
            Variant::Plain | Variant::DoubleMemory => "",
            Variant::Media => "+me",
            Variant::AllMedia => "+me.all",
            Variant::NoMedia => "-me",
            Variant::Graphics => "+gfx",
        }
    }
}

/// A profile without its memory figure: `3g` is the same kind on every 7-slice GPU, `3g.20gb` is one product's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileKind {
    /// Compute slices, the number before the `g`.
    pub slices: u8,
    /// What it has beyond them.
    pub variant: Variant,
}

/// A text that is no profile kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a MIG profile kind such as 3g, 1g+me or 1g+2mem")]
pub struct KindError(String);

impl fmt::Display for ProfileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = match self.variant {
            Variant::DoubleMemory => "+2mem",
            other => other.suffix(),
        };
        write!(f, "{}g{suffix}", self.slices)
    }
}

impl FromStr for ProfileKind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        let error = || KindError(text.to_owned());
        let (slices, suffix) = text.split_once('g').ok_or_else(error)?;
        let variant = match suffix {
            "" => Variant::Plain,
            "+2mem" | "x2" => Variant::DoubleMemory,
            "+me" => Variant::Media,
            "+me.all" => Variant::AllMedia,
            "-me" => Variant::NoMedia,
            "+gfx" => Variant::Graphics,
            _ => return Err(error()),
        };
        let slices = parse_number::<u8>(slices).filter(|&n| n > 0).ok_or_else(error)?;
        Ok(ProfileKind { slices, variant })
    }
}

/// A profile name taken apart: `1g.5gb+me` is one slice, 5 GB, `+me`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameParts {
    pub slices: u8,
    pub memory_gb: u32,
    /// `Plain` also for the double-memory profile, whose names do not say it.
    variant: Variant,
}

impl NameParts {
    /// Reads the driver's form (`1g.5gb+me`), the resource form (`1g.5gb.me`) and the DRA device form (`1g5gb`).
    pub(super) fn parse(name: &str) -> Option<NameParts> {
        let (slices, rest) = name.split_once('g')?;
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        let (memory, suffix) = rest.split_once("gb")?;
        let variant = match suffix {
            "" => Variant::Plain,
            "+me" | ".me" => Variant::Media,
            "+me.all" | ".me.all" => Variant::AllMedia,
            "-me" => Variant::NoMedia,
            "+gfx" | ".gfx" => Variant::Graphics,
            _ => return None,
        };
        Some(NameParts { slices: parse_number(slices)?, memory_gb: parse_number(memory)?, variant })
    }

    /// Whether a profile of this kind could carry the name, whatever its memory.
    pub(super) fn fits_kind(&self, kind: ProfileKind) -> bool {
        self.slices == kind.slices && self.variant.suffix() == kind.variant.suffix()
    }
}

/// Digits only: `from_str` alone would also take a leading `+`.
fn parse_number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_as_written() {
        for text in ["1g", "1g+me", "1g+2mem", "7g", "2g+me.all", "1g-me", "4g+gfx"] {
            assert_eq!(text.parse::<ProfileKind>().map(|k| k.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("1gx2".parse::<ProfileKind>(), "1g+2mem".parse());
        for text in ["", "g", "0g", "+1g", "1", "1g.5gb", "1g+", "256g", "1gme"] {
            assert_eq!(text.parse::<ProfileKind>(), Err(KindError(text.to_owned())));
        }
    }

    #[test]
    fn names_are_taken_apart_in_every_spelling() {
        let me = NameParts { slices: 1, memory_gb: 5, variant: Variant::Media };
        assert_eq!(NameParts::parse("1g.5gb+me"), Some(me));
        assert_eq!(NameParts::parse("1g.5gb.me"), Some(me));
        assert_eq!(NameParts::parse("1g5gb"), Some(NameParts { variant: Variant::Plain, ..me }));
        for text in ["", "1g", "1g.gb", "1g.5", "1g.5gb+you", "g.5gb", "1g.+5gb", "-1g.5gb"] {
            assert_eq!(NameParts::parse(text), None, "{text}");
        }
    }
}
