//! The reference of the policy file, `docs/policy.md`: written from the types that the file is read into.

use std::fmt::Write as _;

use schemars::{Schema, schema_for};
use serde_json::{Map, Value};
use testudo_core::claims::cel::POD_FIELDS;

use super::{PolicyFile, ready_made};

/// What stands before the fields.
const HEAD: &str = include_str!("reference.md");

/// The page.
pub fn markdown() -> String {
    let schema = schema_for!(PolicyFile);
    let mut page = String::from(HEAD.trim_end());
    page.push_str("\n\n## Fields\n");
    describe(&mut page, "The file", schema.as_object());
    for (name, definition) in definitions(&schema) {
        describe(&mut page, &heading(name), definition.as_object());
    }
    page.push_str("\n## What `when` sees of a pod\n\n| field | type | |\n|---|---|---|\n");
    for field in POD_FIELDS {
        row(&mut page, [&format!("`pod.{}`", field.name), field.of, field.what]);
    }
    let _ = write!(page, "\n## Ready-made profiles\n\n```yaml\n{}```\n", ready_made::TEXT);
    page
}

fn definitions(schema: &Schema) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("$defs").and_then(Value::as_object).into_iter().flatten()
}

/// A type as people call it: `QuotaSection` is `quota`.
fn heading(name: &str) -> String {
    let plain = name.trim_end_matches("Section").trim_end_matches("Name");
    plain.to_lowercase()
}

/// A section for a type: its fields, or the values that there are.
fn describe(page: &mut String, title: &str, schema: Option<&Map<String, Value>>) {
    let Some(schema) = schema else { return };
    let _ = write!(page, "\n### {title}\n\n{}\n", text(schema));
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        page.push_str("\n| field | type | |\n|---|---|---|\n");
        for (name, field) in fields {
            let empty = Map::new();
            let field = field.as_object().unwrap_or(&empty);
            row(page, [&format!("`{name}`"), &kind(field), &text(field)]);
        }
    }
    if let Some(values) = schema.get("oneOf").and_then(Value::as_array) {
        page.push_str("\n| value | |\n|---|---|\n");
        for value in values.iter().filter_map(Value::as_object) {
            let name = value.get("const").and_then(Value::as_str).unwrap_or_default();
            row(page, [&format!("`{name}`"), &text(value)]);
        }
    }
}

fn row<const N: usize>(page: &mut String, cells: [&str; N]) {
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

/// The comment on a type or field, on one line.
fn text(schema: &Map<String, Value>) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a field holds.
fn kind(schema: &Map<String, Value>) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = heading(reference.rsplit('/').next().unwrap_or_default());
        return format!("[{name}](#{name})");
    }
    let of = |key: &str| schema.get(key).and_then(Value::as_object);
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        let given = options.iter().filter_map(Value::as_object).find(|option| is_given(option));
        return given.map(kind).unwrap_or_default();
    }
    match schema.get("type") {
        Some(Value::Array(types)) => {
            let given = types.iter().filter_map(Value::as_str).find(|name| *name != "null");
            typed(given.unwrap_or_default(), of("items"), of("additionalProperties"))
        }
        Some(Value::String(name)) => typed(name, of("items"), of("additionalProperties")),
        _ => String::new(),
    }
}

fn is_given(option: &Map<String, Value>) -> bool {
    option.get("type").and_then(Value::as_str) != Some("null")
}

fn typed(name: &str, items: Option<&Map<String, Value>>, values: Option<&Map<String, Value>>) -> String {
    match (name, items, values) {
        ("array", Some(items), _) => format!("list of {}", kind(items)),
        ("object", _, Some(values)) => format!("map to {}", kind(values)),
        _ => name.to_owned(),
    }
}
