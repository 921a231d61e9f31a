//! Texts that a pod carries, with the place where they stand, and what is made of those that make no sense.

use std::fmt;
use std::ops::RangeInclusive;

use super::super::object::{self, StringMap};
use super::super::problem::Report;

/// A pod that is being read.
///
/// What makes no sense keeps a pod that has no node yet from being placed at all. One that has a node stays where it is:
/// there the text is ignored.
pub(super) struct Reading<'a, 'r> {
    /// The pod.
    pub pod: &'a object::Pod,
    report: &'r mut Report<'a>,
    pending: bool,
}

/// A text, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    place: &'static str,
    key: &'a str,
    /// The text.
    pub text: &'a str,
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metadata.{}[{}]", self.place, self.key)
    }
}

impl Said<'_> {
    /// The text as a whole number in `range`, or what is wrong with it.
    pub(super) fn number(&self, range: RangeInclusive<u32>) -> Result<u32, String> {
        let (least, most) = (range.start(), range.end());
        let number = self.text.trim().parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("{:?} is no whole number from {least} to {most}", self.text))
    }
}

impl<'a, 'r> Reading<'a, 'r> {
    pub(super) fn of(pod: &'a object::Pod, pending: bool, report: &'r mut Report<'a>) -> Self {
        Self { pod, report, pending }
    }

    pub(super) fn annotation(&self, key: &'a str) -> Option<Said<'a>> {
        said(&self.pod.metadata.annotations, "annotations", key)
    }

    pub(super) fn label(&self, key: &'a str) -> Option<Said<'a>> {
        said(&self.pod.metadata.labels, "labels", key)
    }

    /// The annotation, or else the label of that name.
    pub(super) fn either(&self, key: &'a str) -> Option<Said<'a>> {
        self.annotation(key).or_else(|| self.label(key))
    }

    /// The number that a text is. Nonsense is told.
    pub(super) fn number(&mut self, said: Option<Said<'a>>, range: RangeInclusive<u32>) -> Option<u32> {
        let said = said?;
        self.accept(said, said.number(range))
    }

    /// What was made of a text. Nonsense is told.
    pub(super) fn accept<T>(&mut self, said: Said<'a>, result: Result<T, String>) -> Option<T> {
        result.map_err(|what| self.nonsense(said, what)).ok()
    }

    /// A field makes no sense.
    pub(super) fn nonsense(&mut self, field: impl fmt::Display, what: impl fmt::Display) {
        if self.pending {
            self.report.block(field, format_args!("{what}; the pod is not placed"));
        } else {
            self.report.note(field, format_args!("{what}; ignored"));
        }
    }

    /// Something is to be known, and changes nothing.
    pub(super) fn note(&mut self, field: impl fmt::Display, what: impl fmt::Display) {
        self.report.note(field, what);
    }
}

/// An entry of a map that says something.
pub(super) fn said<'a>(map: &'a StringMap, place: &'static str, key: &'a str) -> Option<Said<'a>> {
    map.get(key).map(|text| Said { place, key, text })
}
