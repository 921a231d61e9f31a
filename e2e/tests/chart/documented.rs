//! What the documentation has people install is what the chart can render.

use std::fs;
use std::path::{Path, PathBuf};

use testudo_e2e::manifests::workspace;

use super::chart::{CHART, KUBE_VERSION, helm};

/// The pages on which commands stand.
fn pages() -> Vec<PathBuf> {
    let is_page = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    let listed = fs::read_dir(workspace().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = [workspace().join("README.md"), workspace().join("policies/README.md")];
    listed.filter(|path| is_page(path)).chain(pages).collect()
}

/// `helm upgrade` with all its values, but rendering instead of installing. `--set` in the middle of a text counts as well.
#[test]
fn what_is_to_be_typed_is_rendered() {
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for line in text.lines().map(str::trim) {
            let Some(command) = line.strip_prefix("helm upgrade ") else { continue };
            let words: Vec<&str> = command.split_whitespace().collect();
            if !words.contains(&CHART) {
                continue;
            }
            // What is of the release and not of the chart.
            let values = words
                .into_iter()
                .filter(|word| !["--install", "--create-namespace", "--reset-then-reuse-values"].contains(word));
            let output = helm(["template", "--kube-version", KUBE_VERSION].into_iter().chain(values)).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: `{line}`: {said}", page.display());
            seen += 1;
        }
        for set in text.split("`--set ").skip(1).filter_map(|rest| rest.split('`').next()) {
            let output = helm(["template", CHART, "--kube-version", KUBE_VERSION, "--set", set]).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: `--set {set}`: {said}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 6, "{seen}");
}
