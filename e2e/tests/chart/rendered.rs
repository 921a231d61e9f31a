//! What is kept of the chart's rendering: `deploy/manifests` for those without helm, `policies` for those who want only
//! these. Both say what the chart says, or a test fails; `UPDATE_RENDERED=1` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{env, fs};

use anyhow::Result;
use serde_json::Value;
use testudo_e2e::manifests::workspace;

use super::chart::{self, EVERYTHING};

/// The values of `deploy/manifests`: what `kubectl apply -k` can do, which asks no cluster and has no hooks.
const MANIFESTS: &[&str] = &["tls.method=certManager", "uninstallHook.enabled=false"];

/// The files that a rendering is made of, by the name of their template.
fn files(values: &[&str]) -> Result<BTreeMap<String, String>> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for document in chart::text(values)?.split("\n---\n") {
        let document = document.trim_start_matches("---\n");
        let Some((source, text)) =
            document.strip_prefix("# Source: testudo/templates/").and_then(|rest| rest.split_once('\n'))
        else {
            continue;
        };
        let file = files.entry(source.to_owned()).or_default();
        if !file.is_empty() {
            file.push_str("---\n");
        }
        file.push_str(text.trim_end());
        file.push('\n');
    }
    Ok(files)
}

/// Compares a file with what it should be, or writes it.
fn check(path: &Path, wanted: &str) {
    if env::var_os("UPDATE_RENDERED").is_some_and(|value| !value.is_empty()) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, wanted).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == wanted, "{} is not what the chart renders. Write it anew with: make rendered", path.display());
}

#[test]
fn the_plain_manifests_are_what_the_chart_renders() {
    let folder = workspace().join("deploy/manifests");
    let files = files(MANIFESTS).unwrap();
    assert!(files.len() > 5, "{:?}", files.keys());
    for (name, text) in &files {
        check(&folder.join(name), text);
    }
    // What kustomize applies is this, and the namespace.
    let kustomization: Value =
        serde_saphyr::from_str(&fs::read_to_string(folder.join("kustomization.yaml")).unwrap()).unwrap();
    let listed: BTreeSet<&str> =
        kustomization["resources"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let rendered: BTreeSet<&str> = files.keys().map(String::as_str).chain(["namespace.yaml"]).collect();
    assert_eq!(listed, rendered, "resources of kustomization.yaml");
}

#[test]
fn the_policies_are_what_the_chart_renders() {
    let folder = workspace().join("policies");
    let mut names = BTreeSet::new();
    for (source, text) in files(EVERYTHING).unwrap() {
        let Some(name) = source.strip_prefix("policies/").and_then(|file| file.strip_suffix(".yaml")) else { continue };
        check(&folder.join(name).join("policy.yaml"), &text);
        names.insert(name.to_owned());
    }
    let folders = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
    let folders = folders.filter(|entry| entry.file_type().unwrap().is_dir());
    let folders: BTreeSet<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(folders, names, "a folder of policies/ that no template renders, or the other way round");
}
