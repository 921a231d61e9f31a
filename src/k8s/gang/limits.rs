//! How large gangs may be, and what names are.

use std::ops::RangeInclusive;

/// Members of a gang.
pub(super) const MEMBERS: RangeInclusive<u32> = 1..=10_000;

/// Numbers of members, and of parts.
pub(super) const INDICES: RangeInclusive<u32> = 0..=9_999;

/// GPUs of a tensor-parallel set, and sets of a pipeline.
pub(super) const PARALLEL: RangeInclusive<u32> = 1..=1_024;

/// Roles of a gang, and gangs that are bundled.
pub(super) const ROLES: usize = 100;

/// Rules of one topology annotation, and relations of one pod.
pub(super) const RULES: usize = 16;

/// Is it a name as objects and label values have it? No slash is in it: with slashes keys of gangs are put together.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = [name.bytes().next(), name.bytes().last()];
    if ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        && name.bytes().all(inner)
        && name.len() <= 253
    {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is no name (letters, digits, '-', '_' and '.', at most 253, a letter or digit at both ends)"
        ))
    }
}

/// Is it the key of a label: a name of up to 63 characters, perhaps with a domain before it?
pub(super) fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(|prefix| check_name(prefix).is_ok()) && check_name(name).is_ok() && name.len() <= 63
}
