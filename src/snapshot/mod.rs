//! A cluster in one file, for every command to work on.
//!
//! A snapshot is one JSON document, compressed by gzip, with an object in each line: `zcat` shows all there is in it. It has
//! no secrets because it is made of the fields that [`fields`] lists, and of nothing else. [`anonymise`] takes names out as
//! well. [`crate::k8s::manifests`] reads it wherever it reads manifests.

mod anonymise;
mod cluster;
mod dra;
mod fields;
mod selectors;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::k8s::manifests::{Limits, Manifests, Reader};
use crate::k8s::problem::Problem;
pub use cluster::list;
pub use fields::listed;

/// `apiVersion` of the snapshots that are written and read.
pub const API_VERSION: &str = "testudo.dev/v1alpha1";

/// `kind` of snapshots.
pub const KIND: &str = "Snapshot";

/// What is to be saved of a cluster.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    objects: Vec<Value>,
    /// Kinds that were not taken, with the reason.
    pub left_out: BTreeMap<String, LeftOut>,
    is_anonymised: bool,
}

/// Why objects of a kind were not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// No command needs them. So many there were.
    NotNeeded(usize),
    /// They could not be listed.
    Unlisted {
        /// Why, in a word.
        why: &'static str,
        /// What was said. It may name who asked, and where: without names there is the word only.
        said: Option<String>,
    },
}

impl LeftOut {
    /// What is left of it without names; nothing where the kind itself is one, of somebody's own API.
    fn anonymised(self) -> Option<Self> {
        match self {
            Self::NotNeeded(_) => None,
            Self::Unlisted { why, .. } => Some(Self::Unlisted { why, said: None }),
        }
    }
}

impl From<&kube::Error> for LeftOut {
    fn from(error: &kube::Error) -> Self {
        let why = match error {
            kube::Error::Api(status) if status.code == 403 => "forbidden",
            kube::Error::Api(status) if status.code == 404 => "not served",
            _ => "not listed",
        };
        Self::Unlisted { why, said: Some(error.to_string()) }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNeeded(count) => write!(f, "no command needs it ({count} objects)"),
            Self::Unlisted { said: Some(said), .. } => f.write_str(said),
            Self::Unlisted { why, said: None } => f.write_str(why),
        }
    }
}

impl Snapshot {
    /// Takes from objects what is taken of their kinds; the others are counted.
    pub fn of(objects: &[Value]) -> Self {
        let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
        let mut taken = vec![];
        for object in objects {
            match fields::Kind::of(object) {
                Some(kind) => taken.push(kind.take(object)),
                None => *unknown.entry(kind_and_group(object)).or_default() += 1,
            }
        }
        let passed_over = |(kind, count)| (kind, LeftOut::NotNeeded(count));
        Self { objects: taken, left_out: unknown.into_iter().map(passed_over).collect(), is_anonymised: false }
    }

    /// The same without names. Selectors of devices are compiled and evaluated for that: see
    /// [`with_large_stack`](crate::claims::with_large_stack).
    pub fn anonymised(self) -> Self {
        let left_out = self.left_out.into_iter().filter_map(|(kind, why)| Some((kind, why.anonymised()?))).collect();
        Self { objects: anonymise::anonymise(&self.objects), left_out, is_anonymised: true }
    }

    /// What the objects say. One that cannot be read is a problem and stands in nobody's way: a cluster has objects of many
    /// makers.
    pub fn manifests(&self) -> Manifests {
        let mut reader = Reader::new(Limits::default());
        let mut problems = vec![];
        for object in &self.objects {
            if let Err(error) = reader.add("the cluster", object.to_string().as_bytes()) {
                let object = error.object.unwrap_or_else(|| kind_and_group(object));
                problems.push(Problem { object, field: "(whole object)".into(), what: error.what, blocking: true });
            }
        }
        let mut manifests = reader.finish();
        manifests.group_problems.extend(problems);
        manifests
    }

    /// The objects.
    pub fn into_objects(self) -> Vec<Value> {
        self.objects
    }

    /// How many objects there are of each kind.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.objects.iter().for_each(|object| *counts.entry(kind_and_group(object)).or_default() += 1);
        counts
    }

    /// Writes the file. `taken_at` is a time in RFC 3339.
    ///
    /// # Errors
    /// When `out` takes no more.
    pub fn write(&self, out: impl Write, taken_at: &str) -> io::Result<()> {
        let mut out = GzEncoder::new(out, Compression::default());
        let left_out: BTreeMap<&str, String> =
            self.left_out.iter().map(|(kind, why)| (kind.as_str(), why.to_string())).collect();
        let head = json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": { "creationTimestamp": taken_at },
            "anonymised": self.is_anonymised,
            "leftOut": left_out,
            "testudo": env!("CARGO_PKG_VERSION"),
        });
        // The items are written by themselves, each in a line, so that two snapshots can be compared by their lines.
        let head = serde_json::to_string(&head)?;
        write!(out, "{},\"items\":[", head.strip_suffix('}').unwrap_or(&head))?;
        for (at, object) in self.objects.iter().enumerate() {
            out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut out, object)?;
        }
        out.write_all(b"\n]}\n")?;
        out.finish()?.flush()
    }
}

/// `Pod` or `PodGroup.scheduling.run.ai`.
fn kind_and_group(object: &Value) -> String {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    match text("apiVersion").split_once('/') {
        Some((group, _)) => format!("{}.{group}", text("kind")),
        None => text("kind").to_owned(),
    }
}

#[cfg(test)]
mod tests;
