//! What selectors of devices say, in place of themselves: a selector is a program, and nobody can tell what names are in it.
//!
//! Each device is given an attribute for every selector that is true of it, and the selector becomes the question whether the
//! attribute is there. So a snapshot gives the same answers, for the devices that it has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use testudo_core::claims::cel::Program;

use crate::claims;

/// The domain of these attributes.
const DOMAIN: &str = "testudo.dev";

/// What takes the place of a text that is no selector.
const NO_SELECTOR: &str = "no selector";

/// The selectors of a snapshot, by text; compiled, with a number, where they can be.
pub(super) struct Selectors(BTreeMap<String, Option<(usize, Program)>>);

impl Selectors {
    /// Those of these texts. Compiling them needs a large stack.
    pub fn of(texts: BTreeSet<String>) -> Self {
        let compiled = texts.into_iter().enumerate().map(|(at, text)| {
            let program = Program::compile(&text).ok().map(|program| (at, program));
            (text, program)
        });
        Self(compiled.collect())
    }

    /// What takes the place of a selector.
    pub fn question(&self, text: &str) -> String {
        match self.0.get(text) {
            Some(Some((at, _))) => {
                let attributes = format!("device.attributes[\"{DOMAIN}\"]");
                // Where the selector fails the attribute is no truth value, so that this fails, too.
                format!("\"s{at}\" in {attributes} && {attributes}.s{at}")
            }
            Some(None) | None => NO_SELECTOR.to_owned(),
        }
    }

    /// Adds to the devices of `nameless` what the selectors say of those of `slice`, the same ResourceSlice with its names.
    pub fn answer(&self, slice: &Value, nameless: &mut Value) {
        let (Ok(read), Some(devices)) = (claims::slice(slice), nameless.pointer_mut("/spec/devices")) else { return };
        for (device, nameless) in read.devices.iter().zip(devices.as_array_mut().into_iter().flatten()) {
            let mut answers = Map::new();
            for (at, program) in self.0.values().flatten() {
                let name = || format!("{DOMAIN}/s{at}");
                match program.matches(&read.pool.driver, device) {
                    Ok(true) => _ = answers.insert(name(), json!({"bool": true})),
                    Ok(false) => {}
                    Err(_) => _ = answers.insert(name(), json!({"int": 0})),
                }
            }
            let known = nameless["attributes"].take();
            let known = if let Value::Object(known) = known { known } else { Map::new() };
            let all: Map<String, Value> = known.into_iter().chain(answers).collect();
            if !all.is_empty() {
                nameless["attributes"] = Value::Object(all);
            } else if let Some(device) = nameless.as_object_mut() {
                device.remove("attributes");
            }
        }
    }
}
