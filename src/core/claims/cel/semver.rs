//! Semantic versions, as `github.com/blang/semver/v4` reads and orders them.

use std::cmp::Ordering;

/// A semantic version. What was built how does not tell two apart.
#[derive(Debug, Clone)]
pub(super) struct Semver {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
    pre: Vec<Identifier>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    /// Numbers come before names.
    Number(u64),
    Name(Box<str>),
}

impl Semver {
    /// Reads a version of the strict form.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Semver, String> {
        if text.is_empty() {
            return Err("version string empty".into());
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("{text:?}: no major.minor.patch elements found"));
        };
        // A build follows what is before a release; either may be missing.
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
        for part in build.iter().flat_map(|build| build.split('.')) {
            identifier_form(part)?;
        }
        let pre = pre.iter().flat_map(|pre| pre.split('.')).map(identifier).collect::<Result<_, _>>()?;
        Ok(Semver { major: number(major)?, minor: number(minor)?, patch: number(patch)?, pre })
    }

    /// Reads a version that may lack parts, have a leading `v`, or leading zeros.
    ///
    /// # Errors
    /// As [`Semver::parse`].
    pub fn parse_tolerant(text: &str) -> Result<Semver, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                return Err("short version cannot contain PreRelease/Build meta data".into());
            }
            parts.resize(3, "0".into());
        }
        Semver::parse(&parts.join("."))
    }
}

fn without_zeros(part: &str) -> String {
    if part.len() <= 1 {
        return part.to_owned();
    }
    let trimmed = part.trim_start_matches('0');
    if trimmed.starts_with(|first: char| first.is_ascii_digit()) { trimmed.to_owned() } else { format!("0{trimmed}") }
}

fn number(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(format!("invalid character(s) found in number {text:?}"));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("number must not contain leading zeroes {text:?}"));
    }
    text.parse().map_err(|_| format!("number {text:?} is out of range"))
}

fn identifier_form(text: &str) -> Result<(), String> {
    match text {
        "" => Err("an identifier is empty".into()),
        _ if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => Ok(()),
        _ => Err(format!("invalid character(s) found in {text:?}")),
    }
}

fn identifier(text: &str) -> Result<Identifier, String> {
    identifier_form(text)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number(text).map(Identifier::Number);
    }
    Ok(Identifier::Name(text.into()))
}

impl PartialEq for Semver {
    fn eq(&self, other: &Semver) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Semver {}

impl PartialOrd for Semver {
    fn partial_cmp(&self, other: &Semver) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Semver {
    fn cmp(&self, other: &Semver) -> Ordering {
        let release = |version: &Semver| (version.major, version.minor, version.patch);
        // A version with something before the release comes before it.
        let order = match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.pre.cmp(&other.pre),
        };
        release(self).cmp(&release(other)).then(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        let ascending = ["0.9.0", "1.0.0-1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0", "1.0.1", "1.10.0"];
        for pair in ascending.windows(2) {
            assert!(Semver::parse(pair[0]).unwrap() < Semver::parse(pair[1]).unwrap(), "{pair:?}");
        }
        assert_eq!(Semver::parse("1.0.0+a").unwrap(), Semver::parse("1.0.0+b").unwrap());
    }

    #[test]
    fn only_the_strict_form_is_read_unless_asked() {
        for text in ["", "1", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", "1.0.x", "1.0.0-a_b"] {
            assert!(Semver::parse(text).is_err(), "{text:?}");
        }
        for (text, same) in [("v1.0", "1.0.0"), ("01.01.01", "1.1.1"), ("1", "1.0.0"), ("00.1", "0.1.0")] {
            assert_eq!(Semver::parse_tolerant(text), Semver::parse(same), "{text:?}");
        }
        assert!(Semver::parse_tolerant("1.0-rc1").is_err());
    }
}
