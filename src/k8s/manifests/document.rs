//! One document: an object, or a List of them.

use std::cell::RefCell;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use testudo_core::claims::{DeviceClass, SeenClaim, Slice};

use super::super::devices::{Claim, ClaimTemplate, Class, DeviceSlice};
use super::super::gang::objects::{GroupObject, KINDS, Kind};
use super::super::object::{self, null_as_default};
use super::super::problem::describe;
use super::ManifestError;
use crate::claims::Template;
use crate::snapshot;

/// An object of a document.
pub(super) enum Object {
    Node(Box<object::Node>),
    Pod(Box<object::Pod>),
    Group(&'static Kind, Box<GroupObject>),
    Claim(Box<SeenClaim>),
    Template(Box<Template>),
    Slice(Box<Slice>),
    Class(Box<DeviceClass>),
    /// Another kind, with its group.
    Other(String),
}

/// The version of claims and devices that is understood.
const DRA: &str = "resource.k8s.io/v1";

/// The text of a document, and where in its file that starts.
pub(super) struct Document<'t> {
    text: &'t str,
    format: Format,
    lines_before: u64,
}

#[derive(Clone, Copy)]
enum Format {
    Json,
    Yaml,
}

/// The documents of a file. Whether it is JSON or YAML shows in how it begins.
pub(super) fn split<'t>(file: &str, text: &'t str, limit: usize) -> Result<Vec<Document<'t>>, ManifestError> {
    let documents = if is_json(text) { json(file, text)? } else { yaml(text) };
    if documents.len() > limit {
        return Err(ManifestError::of_file(file, format!("has more than {limit} documents")));
    }
    Ok(documents)
}

/// YAML's flow form begins like JSON, and seldom puts a key into quotes.
fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    let in_braces = text.strip_prefix('{').map(str::trim_start);
    text.starts_with('[') || in_braces.is_some_and(|rest| rest.starts_with(['"', '}']) || rest.is_empty())
}

fn json<'t>(file: &str, text: &'t str) -> Result<Vec<Document<'t>>, ManifestError> {
    let mut documents = Vec::new();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut start, mut lines_before) = (0, 0);
    while let Some(value) = values.next() {
        let what = value.err().map(|error| (Some((error.line() as u64, error.column() as u64)), plain(&error)));
        if let Some((at, what)) = what {
            return Err(ManifestError {
                at,
                document: Some(documents.len() + 1),
                ..ManifestError::of_file(file, what)
            });
        }
        let end = values.byte_offset();
        let document = &text[start..end];
        documents.push(Document { text: document, format: Format::Json, lines_before });
        lines_before += newlines(document);
        start = end;
    }
    Ok(documents)
}

/// A line that starts with `---` always starts a document: YAML forbids it inside of scalars.
fn yaml(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut offset, mut lines_before) = (0, 0, 0);
    for line in text.split_inclusive('\n') {
        let starts_document =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if starts_document && offset > start {
            let document = &text[start..offset];
            documents.push(Document { text: document, format: Format::Yaml, lines_before });
            lines_before += newlines(document);
            start = offset;
        }
        offset += line.len();
    }
    documents.push(Document { text: &text[start..], format: Format::Yaml, lines_before });
    documents
}

fn newlines(text: &str) -> u64 {
    text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

/// What is to be known of an object before it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Header {
    #[serde(deserialize_with = "null_as_default")]
    api_version: String,
    #[serde(deserialize_with = "null_as_default")]
    kind: String,
    #[serde(deserialize_with = "null_as_default")]
    metadata: HeaderMetadata,
    #[serde(deserialize_with = "null_as_default")]
    items: Vec<Header>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HeaderMetadata {
    #[serde(deserialize_with = "null_as_default")]
    name: String,
    #[serde(deserialize_with = "null_as_default")]
    namespace: String,
}

impl Header {
    fn is_list(&self) -> bool {
        self.is_snapshot() || self.api_version == "v1" && matches!(self.kind.as_str(), "List" | "NodeList" | "PodList")
    }

    fn is_snapshot(&self) -> bool {
        is_snapshot(&self.api_version, &self.kind)
    }

    /// A snapshot of another version may mean other things by the same words.
    fn check_version(&self) -> Result<(), String> {
        if self.is_snapshot() && self.api_version != snapshot::API_VERSION {
            let (theirs, ours) = (&self.api_version, snapshot::API_VERSION);
            return Err(format!("is of version {theirs:?}, and {ours:?} is read here: use the testudo that took it"));
        }
        Ok(())
    }

    /// The kind, which items of a `PodList` leave to the list.
    fn kind<'a>(&'a self, of_items: &'a str) -> &'a str {
        if self.kind.is_empty() { of_items } else { &self.kind }
    }

    /// The kind of group object that it is.
    fn group_kind(&self, of_items: &str) -> Option<&'static Kind> {
        let (api_group, version) = self.api_version.split_once('/')?;
        let is = |kind: &&Kind| kind.name == self.kind(of_items) && kind.api_group == api_group;
        KINDS.iter().find(is).filter(|kind| kind.versions.contains(&version))
    }

    fn describe(&self, of_items: &str) -> String {
        let HeaderMetadata { name, namespace } = &self.metadata;
        let metadata = object::Metadata { name: name.clone(), namespace: namespace.clone(), ..Default::default() };
        describe(self.kind(of_items), &metadata)
    }
}

impl Document<'_> {
    /// The objects of the document, `number` in `file`.
    pub(super) fn read(&self, file: &str, number: usize) -> Result<Vec<Object>, ManifestError> {
        let error = |fault: Fault, object: Option<String>| ManifestError {
            file: file.into(),
            document: Some(number),
            object,
            at: fault.at.map(|(line, column)| (line + self.lines_before, column)),
            what: fault.what,
        };
        let header = self.parse(std::marker::PhantomData::<Option<Header>>).map_err(|fault| error(fault, None))?;
        let Some(header) = header else { return Ok(vec![]) };
        let checked = header.check_version().map_err(|what| Fault { at: None, what });
        checked.map_err(|fault| error(fault, Some(header.describe(""))))?;
        let found = RefCell::new(Found::default());
        let seed = ObjectSeed { header: &header, of_items: "", found: &found };
        let result = self.parse(seed);
        let Found { objects, current } = found.into_inner();
        result.map_err(|fault| error(fault, current)).map(|()| objects)
    }

    /// The objects of the document as they stand there, those of Lists one by one.
    pub(super) fn values(&self, file: &str, number: usize) -> Result<Vec<Value>, ManifestError> {
        let value = self.parse(std::marker::PhantomData::<Option<Value>>).map_err(|fault| ManifestError {
            file: file.into(),
            document: Some(number),
            object: None,
            at: fault.at.map(|(line, column)| (line + self.lines_before, column)),
            what: fault.what,
        })?;
        Ok(value.map(items).unwrap_or_default())
    }

    fn parse<'de, S: DeserializeSeed<'de>>(&'de self, seed: S) -> Result<S::Value, Fault> {
        match self.format {
            Format::Json => {
                let mut deserializer = serde_json::Deserializer::from_str(self.text);
                seed.deserialize(&mut deserializer).map_err(|error| Fault {
                    at: Some((error.line() as u64, error.column() as u64)).filter(|(line, _)| *line > 0),
                    what: plain(&error),
                })
            }
            Format::Yaml => {
                let options = yaml_options(self.text.len());
                serde_saphyr::with_deserializer_from_str_with_options(self.text, options, |deserializer| {
                    seed.deserialize(deserializer)
                })
                .map_err(|error| Fault {
                    at: error.location().map(|location| (location.line(), location.column())),
                    what: without_place(&error),
                })
            }
        }
    }
}

/// The items of a List, or the object itself. Items of a `PodList` and the like may leave their kind to the list.
fn items(mut object: Value) -> Vec<Value> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let is_list = kind.ends_with("List") || is_snapshot(&version, &kind);
    let Some(Value::Array(mut items)) = object.get_mut("items").map(Value::take).filter(|_| is_list) else {
        return vec![object];
    };
    let of_items = kind.strip_suffix("List").unwrap_or_default();
    for item in items.iter_mut().filter_map(Value::as_object_mut).filter(|_| !of_items.is_empty()) {
        item.entry("apiVersion").or_insert_with(|| version.as_str().into());
        item.entry("kind").or_insert_with(|| of_items.into());
    }
    items
}

fn is_snapshot(api_version: &str, kind: &str) -> bool {
    kind == snapshot::KIND && api_version.starts_with("testudo.dev/")
}

/// What went wrong, and where in the document.
struct Fault {
    at: Option<(u64, u64)>,
    what: String,
}

/// Bounds that follow the size of the text, save for what aliases repeat: that stays small whatever the size.
fn yaml_options(text_bytes: usize) -> serde_saphyr::Options {
    let bound = text_bytes.saturating_mul(2).max(10_000);
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: bound,
            max_nodes: bound,
            max_total_scalar_bytes: bound,
            max_aliases: 10_000,
            max_anchors: 10_000,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        with_snippet: false,
    }
}

/// The message without ` at line 1 column 2`.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// The same for YAML: it counts lines from the start of the document.
fn without_place(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let place = error.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
    place.and_then(|place| text.strip_suffix(&place)).unwrap_or(&text).to_owned()
}

#[derive(Default)]
struct Found {
    objects: Vec<Object>,
    /// The object that is being read.
    current: Option<String>,
}

/// Reads an object as what its header says it is.
#[derive(Clone, Copy)]
struct ObjectSeed<'h> {
    header: &'h Header,
    /// The kind of items that name none.
    of_items: &'h str,
    found: &'h RefCell<Found>,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { header, of_items, found } = self;
        if header.is_list() {
            return deserializer.deserialize_map(ListVisitor(self));
        }
        if !header.kind(of_items).is_empty() {
            found.borrow_mut().current = Some(header.describe(of_items));
        }
        let core = matches!(header.api_version.as_str(), "" | "v1");
        let object = match header.kind(of_items) {
            "" => return Err(serde::de::Error::custom("kind is missing")),
            "Node" if core => Object::Node(Box::new(Deserialize::deserialize(deserializer)?)),
            "Pod" if core => Object::Pod(Box::new(Deserialize::deserialize(deserializer)?)),
            "ResourceClaim" if header.api_version == DRA => {
                Object::Claim(Box::new(Claim::deserialize(deserializer)?.0))
            }
            "ResourceClaimTemplate" if header.api_version == DRA => {
                Object::Template(Box::new(ClaimTemplate::deserialize(deserializer)?.0))
            }
            "ResourceSlice" if header.api_version == DRA => {
                Object::Slice(Box::new(DeviceSlice::deserialize(deserializer)?.0))
            }
            "DeviceClass" if header.api_version == DRA => Object::Class(Box::new(Class::deserialize(deserializer)?.0)),
            _ if let Some(kind) = header.group_kind(of_items) => {
                Object::Group(kind, Box::new(Deserialize::deserialize(deserializer)?))
            }
            kind => {
                IgnoredAny::deserialize(deserializer)?;
                let group = header.api_version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
                Object::Other(format!("{kind}{group}"))
            }
        };
        let mut found = found.borrow_mut();
        found.objects.push(object);
        found.current = None;
        Ok(())
    }
}

struct ListVisitor<'h>(ObjectSeed<'h>);

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a List")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(field) = fields.next_key::<String>()? {
            match field.as_str() {
                "items" => fields.next_value_seed(Items(self.0))?,
                _ => _ = fields.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

struct Items<'h>(ObjectSeed<'h>);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("items of a List")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let list = self.0;
        let of_items = list.header.kind.strip_suffix("List").unwrap_or_default();
        for header in &list.header.items {
            items.next_element_seed(ObjectSeed { header, of_items, found: list.found })?;
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
