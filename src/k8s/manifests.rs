//! Files of objects: a cluster without a cluster.
//!
//! A file is YAML or JSON, one document or many (JSON: one after the other), each an object or a List, or a snapshot
//! ([`crate::snapshot`]); it may be compressed by gzip. It is read twice: first for kinds and names only, then each object as the type that its kind asks for. So an error knows its line, and
//! an unquoted `1.10` stays the text that it is.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod document;

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use testudo_core::claims::{ClaimKey, DeviceClass, SeenClaim, Slice};
use testudo_core::model::gang::Group;

use super::gang::objects;
use super::object;
use super::object::Metadata;
use super::problem::{Problem, describe};
use crate::claims::Template;

/// The namespace of pods that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// What files say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifests {
    /// Nodes, in the order of the files.
    pub nodes: Vec<object::Node>,
    /// Pods, in the order of the files.
    pub pods: Vec<object::Pod>,
    /// The gangs that group objects describe, in the order of the files. What a controller would make of an object is not
    /// made: its pods are those that the files have.
    pub groups: Vec<Group>,
    /// ResourceClaims, in the order of the files.
    pub claims: Vec<SeenClaim>,
    /// ResourceClaimTemplates, in the order of the files.
    pub templates: Vec<Template>,
    /// ResourceSlices, in the order of the files.
    pub slices: Vec<Slice>,
    /// DeviceClasses, in the order of the files.
    pub classes: Vec<DeviceClass>,
    /// What could not be understood about group objects, and objects of a cluster that cannot be read.
    pub group_problems: Vec<Problem>,
    /// How many objects of other kinds were passed over, by kind (`ConfigMap`, `Deployment.apps`).
    pub ignored: BTreeMap<String, usize>,
}

/// How much is read at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one file.
    pub file_bytes: usize,
    /// Documents in one file.
    pub documents: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 256 << 20, documents: 100_000 }
    }
}

/// Why files cannot be used, and where: `fleet.yaml:12:5: document 3, Pod team/x: ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// The file; `-` is the standard input.
    pub file: String,
    /// Counted from 1.
    pub document: Option<usize>,
    /// Kind and name of the object.
    pub object: Option<String>,
    /// Line and column, counted from 1.
    pub at: Option<(u64, u64)>,
    /// What is wrong.
    pub what: String,
}

impl std::error::Error for ManifestError {}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        match (&self.document, &self.object) {
            (Some(document), Some(object)) => write!(f, "document {document}, {object}: ")?,
            (Some(document), None) => write!(f, "document {document}: ")?,
            (None, Some(object)) => write!(f, "{object}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.what)
    }
}

/// Reads files one after the other, `-` being the standard input.
pub fn read(paths: &[PathBuf], limits: &Limits) -> Result<Manifests, ManifestError> {
    let mut reader = Reader::new(*limits);
    for path in paths {
        let name = path.display().to_string();
        let bytes = load(path, limits.file_bytes).map_err(|what| ManifestError::of_file(&name, what))?;
        reader.add(&name, &bytes)?;
    }
    Ok(reader.finish())
}

/// The objects of files as they stand there, those of Lists one by one; `-` is the standard input.
pub fn objects(paths: &[PathBuf], limits: &Limits) -> Result<Vec<Value>, ManifestError> {
    let mut objects = vec![];
    for path in paths {
        let name = path.display().to_string();
        let bytes = load(path, limits.file_bytes).map_err(|what| ManifestError::of_file(&name, what))?;
        objects.extend(objects_in(&name, &bytes, limits)?);
    }
    Ok(objects)
}

/// The objects of a text as they stand there, those of Lists one by one; `name` is how errors call it.
pub fn objects_in(name: &str, bytes: &[u8], limits: &Limits) -> Result<Vec<Value>, ManifestError> {
    let text = text(name, bytes)?;
    let mut objects = vec![];
    for (at, document) in document::split(name, text, limits.documents)?.iter().enumerate() {
        objects.extend(document.values(name, at + 1)?);
    }
    Ok(objects)
}

fn text<'b>(name: &str, bytes: &'b [u8]) -> Result<&'b str, ManifestError> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| ManifestError::of_file(name, format!("is no text: {error}")))?;
    Ok(text.trim_start_matches('\u{feff}'))
}

fn load(path: &Path, limit_bytes: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let with_one_more = limit_bytes as u64 + 1;
    let count = if path == Path::new("-") {
        std::io::stdin().take(with_one_more).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(with_one_more).read_to_end(&mut bytes))
    };
    match count {
        Err(error) => Err(error.to_string()),
        Ok(count) if count > limit_bytes => Err(format!("is larger than {limit_bytes} bytes")),
        Ok(_) if bytes.starts_with(&GZIP) => unpack(&bytes, limit_bytes),
        Ok(_) => Ok(bytes),
    }
}

/// How a file begins that gzip has compressed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

fn unpack(packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match MultiGzDecoder::new(packed).take(limit_bytes as u64 + 1).read_to_end(&mut bytes) {
        Err(error) => Err(format!("begins like a gzip file, but cannot be unpacked: {error}; take the snapshot again")),
        Ok(count) if count > limit_bytes => Err(format!("is larger than {limit_bytes} bytes once it is unpacked")),
        Ok(_) => Ok(bytes),
    }
}

/// Collects the objects of several files.
///
/// What a cluster would have filled in is filled in: the namespace `default`, the phase of a pod (`Running` with a
/// node, else `Pending`), and for objects without one the uid `manifest:<kind>/<namespace>/<name>`, the same each time.
pub struct Reader {
    limits: Limits,
    manifests: Manifests,
    /// Where each object was found, and each uid.
    found: BTreeMap<String, Place>,
    uids: BTreeMap<String, String>,
}

/// File and document.
#[derive(Debug, Clone)]
struct Place {
    file: String,
    document: usize,
}

impl Reader {
    /// A reader that has read nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, manifests: Manifests::default(), found: BTreeMap::new(), uids: BTreeMap::new() }
    }

    /// Reads what a file holds; `name` is how errors call it.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), ManifestError> {
        let text = text(name, bytes)?;
        for (at, document) in document::split(name, text, self.limits.documents)?.iter().enumerate() {
            let place = Place { file: name.into(), document: at + 1 };
            for object in document.read(name, at + 1)? {
                self.keep(object, &place).map_err(|(object, what)| ManifestError {
                    file: name.into(),
                    document: Some(at + 1),
                    object: Some(object),
                    at: None,
                    what,
                })?;
            }
        }
        Ok(())
    }

    /// Everything that was read.
    pub fn finish(self) -> Manifests {
        self.manifests
    }

    /// In case of error says which object, and what is wrong with it.
    fn keep(&mut self, object: document::Object, place: &Place) -> Result<(), (String, String)> {
        match object {
            document::Object::Node(mut node) => {
                node.metadata.namespace.clear();
                self.register("Node", &mut node.metadata, place)?;
                self.manifests.nodes.push(*node);
            }
            document::Object::Pod(mut pod) => {
                if pod.metadata.namespace.is_empty() {
                    pod.metadata.namespace = DEFAULT_NAMESPACE.into();
                }
                let has_node = pod.spec.node_name.as_ref().is_some_and(|name| !name.is_empty());
                pod.status.phase.get_or_insert_with(|| if has_node { "Running" } else { "Pending" }.into());
                self.register("Pod", &mut pod.metadata, place)?;
                self.manifests.pods.push(*pod);
            }
            document::Object::Group(kind, mut group) => {
                if group.metadata.namespace.is_empty() {
                    group.metadata.namespace = DEFAULT_NAMESPACE.into();
                }
                // The kind alone does not tell: half the world calls it a PodGroup.
                let name = format!("{}.{}", kind.name, kind.api_group);
                self.register(&name, &mut group.metadata, place)?;
                let decoded = objects::decode(kind, kind.versions[0], &group)
                    .map_err(|what| (describe(&name, &group.metadata), what));
                let (groups, problems) = decoded?;
                self.manifests.groups.extend(groups);
                self.manifests.group_problems.extend(problems);
            }
            document::Object::Claim(mut seen) => {
                let claim = Arc::make_mut(&mut seen.claim);
                let (namespace, name) = (claim.key.namespace.to_string(), claim.key.name.to_string());
                let mut metadata = Metadata { name, namespace, uid: claim.uid.to_string(), ..Metadata::default() };
                if metadata.namespace.is_empty() {
                    metadata.namespace = DEFAULT_NAMESPACE.into();
                }
                self.register("ResourceClaim", &mut metadata, place)?;
                claim.key = ClaimKey { namespace: metadata.namespace.into(), name: metadata.name.into() };
                claim.uid = metadata.uid.into();
                self.manifests.claims.push(*seen);
            }
            document::Object::Template(mut template) => {
                let (namespace, name) = (template.key.namespace.to_string(), template.key.name.to_string());
                let mut metadata = Metadata { name, namespace, ..Metadata::default() };
                if metadata.namespace.is_empty() {
                    metadata.namespace = DEFAULT_NAMESPACE.into();
                }
                self.register("ResourceClaimTemplate", &mut metadata, place)?;
                template.key.namespace = metadata.namespace.into();
                self.manifests.templates.push(*template);
            }
            document::Object::Slice(slice) => {
                let mut metadata = Metadata { name: slice.name.to_string(), ..Metadata::default() };
                self.register("ResourceSlice", &mut metadata, place)?;
                self.manifests.slices.push(*slice);
            }
            document::Object::Class(class) => {
                let mut metadata = Metadata { name: class.name.to_string(), ..Metadata::default() };
                self.register("DeviceClass", &mut metadata, place)?;
                self.manifests.classes.push(*class);
            }
            document::Object::Other(kind) => *self.manifests.ignored.entry(kind).or_insert(0) += 1,
        }
        Ok(())
    }

    fn register(&mut self, kind: &str, metadata: &mut Metadata, place: &Place) -> Result<(), (String, String)> {
        let object = describe(kind, metadata);
        if metadata.name.is_empty() {
            return Err((object, "metadata.name is missing".into()));
        }
        if metadata.uid.is_empty() {
            let path = [kind, &metadata.namespace, &metadata.name].into_iter().filter(|part| !part.is_empty());
            metadata.uid = format!("manifest:{}", path.collect::<Vec<_>>().join("/").to_lowercase());
        }
        if let Some(first) = self.found.insert(object.clone(), place.clone()) {
            let Place { file, document } = first;
            return Err((object, format!("is there twice, first in {file}, document {document}")));
        }
        match self.uids.insert(metadata.uid.clone(), object.clone()) {
            Some(other) => Err((object, format!("has the uid {} of {other}", metadata.uid))),
            None => Ok(()),
        }
    }
}

impl ManifestError {
    fn of_file(file: &str, what: String) -> Self {
        Self { file: file.into(), document: None, object: None, at: None, what }
    }
}

#[cfg(test)]
mod tests;
