//! Constraints between the devices of a claim, while devices come and go.
//!
//! They are monotonic: one that a set of devices violates is violated by every larger set, so a search can stop there.

use std::borrow::Cow;

use super::attribute::ValueSet;

/// Where a constraint stands. Devices leave in the opposite order in which they came.
#[derive(Debug, Clone)]
pub(super) enum ConstraintState<'a> {
    /// What all devices so far have in common, after each of them.
    Match(Vec<Cow<'a, ValueSet>>),
    /// What each device has.
    Distinct(Vec<&'a ValueSet>),
}

impl<'a> ConstraintState<'a> {
    /// Adds a device with these values of the attribute; whether the constraint allows it. A device without the attribute
    /// is not allowed.
    pub fn add(&mut self, values: Option<&'a ValueSet>) -> bool {
        let Some(values) = values else { return false };
        match self {
            ConstraintState::Match(common) => {
                let next = match common.last() {
                    None => Cow::Borrowed(values),
                    Some(known) if std::ptr::eq(&**known, values) || **known == *values => Cow::Borrowed(values),
                    Some(known) => match known.common(values) {
                        Some(common) => Cow::Owned(common),
                        None => return false,
                    },
                };
                common.push(next);
            }
            ConstraintState::Distinct(taken) => {
                if taken.iter().any(|taken| taken.meets(values)) {
                    return false;
                }
                taken.push(values);
            }
        }
        true
    }

    /// Takes the last device away.
    pub fn remove(&mut self) {
        match self {
            ConstraintState::Match(common) => _ = common.pop(),
            ConstraintState::Distinct(taken) => _ = taken.pop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attribute::Attribute;
    use super::*;

    fn values(values: &[i64]) -> ValueSet {
        Attribute::Ints(values.to_vec()).values().expect("values")
    }

    #[test]
    fn matching_devices_share_a_value_and_a_removed_one_leaves_no_trace() {
        let (ab, a, b) = (values(&[1, 2]), values(&[1]), values(&[2]));
        let mut state = ConstraintState::Match(vec![]);
        assert!(!state.add(None));
        assert!(state.add(Some(&ab)) && state.add(Some(&a)) && !state.add(Some(&b)));
        state.remove();
        assert!(state.add(Some(&b)) && !state.add(Some(&a)));
    }

    #[test]
    fn distinct_devices_share_none_with_any_before() {
        let (a, b, ab) = (values(&[1]), values(&[2]), values(&[1, 2]));
        let mut state = ConstraintState::Distinct(vec![]);
        assert!(state.add(Some(&a)) && state.add(Some(&b)) && !state.add(Some(&ab)) && !state.add(Some(&a)));
        state.remove();
        assert!(!state.add(Some(&a)) && state.add(Some(&b)));
    }
}
