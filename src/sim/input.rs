//! What is simulated: nodes and pods from files of any known form, decoded into the values that everything works on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::gang::Group;
use testudo_core::model::node::Node;
use testudo_core::model::pod::{Pod, Stage};
use thiserror::Error;

use super::gangs::{self, Unit};
use super::openb::{self, CsvError, GPU_MODEL};
use crate::k8s::manifests::{self, ManifestError, Manifests};
use crate::k8s::problem::Problem;
use crate::k8s::{node, object, pod};

/// How much is read at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one file.
    pub file_bytes: usize,
    /// Nodes in one file.
    pub nodes: usize,
    /// Pods in one file.
    pub pods: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 256 << 20, nodes: 100_000, pods: 1_000_000 }
    }
}

/// A pod of the workload.
#[derive(Debug, Clone)]
pub struct Arriving {
    /// The pod; it has no node yet.
    pub pod: Pod,
    /// The same as it was read.
    pub object: Box<object::Pod>,
    /// When it was created, in seconds, where that is known.
    pub created: Option<u64>,
    /// When it was deleted, in seconds, where that is known.
    pub deleted: Option<u64>,
}

/// Nodes and pods.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// The nodes, in the order of the files.
    pub nodes: Vec<Node>,
    /// The same as they were read.
    pub node_objects: Vec<object::Node>,
    /// The pods, in the order of the files.
    pub pods: Vec<Arriving>,
    /// What arrives at once: pods, and gangs of them.
    pub units: Vec<Unit>,
}

/// Why nodes and pods cannot be simulated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InputError {
    /// A CSV file cannot be used.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// A file of objects cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An object cannot be used as it is.
    #[error("{file}: {what}")]
    Object {
        /// The file.
        file: String,
        /// Which object, and what is wrong with it.
        what: String,
    },
    /// A gang can never start.
    #[error("{0}")]
    Gang(String),
}

impl Input {
    /// Reads nodes and pods from files: `.csv` is openb, anything else are manifests. Of the node files only the nodes
    /// count, of the pod files only the pods: where these already run is not asked.
    ///
    /// # Errors
    /// On whatever cannot be understood, with file and line or object: a simulation of half the input would mislead.
    pub fn read(nodes: &[PathBuf], pods: &[PathBuf], limits: &Limits) -> Result<Self, InputError> {
        let mut reader = Reader::new(limits);
        for path in nodes {
            reader.nodes(path)?;
        }
        for path in pods {
            reader.pods(path)?;
        }
        reader.finish()
    }

    /// Takes nodes and pods that are at hand, for example generated ones.
    ///
    /// # Errors
    /// When one of them cannot be understood.
    pub fn of(nodes: &[object::Node], pods: &[object::Pod]) -> Result<Self, InputError> {
        let limits = Limits::default();
        let mut reader = Reader::new(&limits);
        for node in nodes {
            reader.node("generated", node.clone())?;
        }
        for pod in pods {
            reader.pod("generated", pod.clone())?;
        }
        reader.finish()
    }
}

struct Reader<'a> {
    limits: &'a Limits,
    input: Input,
    /// Where each object was found, by kind and name.
    found: BTreeMap<String, String>,
    /// The models of GPUs that the nodes have.
    models: BTreeSet<String>,
    /// The pods with what they say of gangs.
    members: Vec<Pod>,
    /// What group objects say.
    groups: Vec<Group>,
}

impl<'a> Reader<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            input: Input::default(),
            found: BTreeMap::new(),
            models: BTreeSet::new(),
            members: vec![],
            groups: vec![],
        }
    }

    fn finish(mut self) -> Result<Input, InputError> {
        self.input.units = gangs::units(&self.members, &self.groups).map_err(InputError::Gang)?;
        Ok(self.input)
    }

    fn nodes(&mut self, path: &Path) -> Result<(), InputError> {
        let file = path.display().to_string();
        let nodes = if is_csv(path) { openb::nodes(path, self.limits)? } else { self.manifests(path)?.nodes };
        if nodes.is_empty() {
            return Err(InputError::Object { file, what: "holds no node; give one with --nodes".into() });
        }
        nodes.into_iter().try_for_each(|node| self.node(&file, node))
    }

    fn pods(&mut self, path: &Path) -> Result<(), InputError> {
        let file = path.display().to_string();
        if is_csv(path) {
            for row in openb::pods(path, self.limits)? {
                if let Some(unknown) = row.models.iter().find(|model| !self.models.contains(*model)) {
                    let (name, line) = (&row.pod.metadata.name, Some(row.line));
                    let known: Vec<&str> = self.models.iter().map(String::as_str).collect();
                    let what = format!("gpu_spec of {name}: no node has {unknown:?}; they have {}", known.join(", "));
                    return Err(CsvError { file, line, what }.into());
                }
                self.pod(&file, row.pod)?;
            }
            return Ok(());
        }
        let Manifests { pods, groups, group_problems, .. } = self.manifests(path)?;
        usable(&file, &group_problems)?;
        self.groups.extend(groups);
        if pods.is_empty() {
            return Err(InputError::Object { file, what: "holds no pod; give one with --pods".into() });
        }
        pods.into_iter().try_for_each(|pod| self.pod(&file, pod))
    }

    fn manifests(&self, path: &Path) -> Result<Manifests, InputError> {
        let limits = manifests::Limits { file_bytes: self.limits.file_bytes, ..manifests::Limits::default() };
        Ok(manifests::read(&[path.to_owned()], &limits)?)
    }

    fn node(&mut self, file: &str, object: object::Node) -> Result<(), InputError> {
        let (parts, problems) = node::decode(&object);
        usable(file, &problems)?;
        self.register(file, format!("Node {}", parts.name))?;
        self.models.extend(parts.labels.get(GPU_MODEL).map(str::to_owned));
        // What the catalogue does not know still works, by counts: that is for `explain` to tell.
        let (node, _) = Node::new(parts, &Catalogue::builtin());
        self.input.nodes.push(node);
        self.input.node_objects.push(object);
        Ok(())
    }

    fn pod(&mut self, file: &str, object: object::Pod) -> Result<(), InputError> {
        let (mut pod, problems) = pod::decode(&object);
        usable(file, &problems)?;
        self.register(file, format!("Pod {}", pod.key))?;
        pod.stage = Stage::Pending;
        self.members.push(pod.clone());
        // Of which unit it is decides whom it comes with.
        pod.membership = None;
        let time = |field: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => seconds(text).map(Some).ok_or_else(|| InputError::Object {
                file: file.to_owned(),
                what: format!("Pod {}: metadata.{field}: {text:?} is no time such as 2026-01-31T12:00:00Z", pod.key),
            }),
        };
        let created = time("creationTimestamp", &object.metadata.creation_timestamp)?;
        let deleted = time("deletionTimestamp", &object.metadata.deletion_timestamp)?;
        self.input.pods.push(Arriving { pod, object: Box::new(object), created, deleted });
        Ok(())
    }

    fn register(&mut self, file: &str, object: String) -> Result<(), InputError> {
        match self.found.insert(object.clone(), file.to_owned()) {
            None => Ok(()),
            Some(first) => Err(InputError::Object {
                file: file.to_owned(),
                what: format!("{object} is there twice, first in {first}; rename or remove one"),
            }),
        }
    }
}

/// A watch works around what it cannot read; an experiment must not.
fn usable(file: &str, problems: &[Problem]) -> Result<(), InputError> {
    match problems.first() {
        None => Ok(()),
        Some(problem) => Err(InputError::Object { file: file.to_owned(), what: problem.to_string() }),
    }
}

fn seconds(text: &str) -> Option<u64> {
    let at = humantime::parse_rfc3339_weak(text).ok()?;
    at.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}
