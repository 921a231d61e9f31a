//! The chart beside the schemas of the Kubernetes API, of versions that the end-to-end tests do not run, too.

use std::io::Write;
use std::process::{Command, Stdio};

use testudo_e2e::tools;

use super::chart::{self, EVERYTHING};

/// Kinds of others: their schemas come with their own CustomResourceDefinitions.
const OF_OTHERS: &str = "ServiceMonitor,PrometheusRule,Certificate,Issuer";

/// Runs kubeconform: whether it finds the text valid, and what it says.
fn conforms(version: &str, text: &str) -> (bool, String) {
    let location =
        format!("{}/{version}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", tools::schemas().unwrap().display());
    let kube_version = format!("{version}.0");
    let args = [
        "-strict",
        "-summary",
        "-kubernetes-version",
        &kube_version,
        "-skip",
        OF_OTHERS,
        "-schema-location",
        &location,
        "-",
    ];
    let mut process = Command::new(tools::kubeconform().unwrap())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_version_takes_what_is_rendered_for_it() {
    let mutates = |value: &&str| value.starts_with("policies.gangs") || value.starts_with("policies.fence");
    for version in ["1.34", "1.35", "1.36", "1.37"] {
        let server = format!("v{version}.0");
        let text = if version < "1.36" {
            let values: Vec<&str> = EVERYTHING.iter().copied().filter(|value| !mutates(value)).collect();
            chart::text_for(&server, "", &values).unwrap()
        } else {
            chart::text(EVERYTHING).unwrap()
        };
        let (valid, said) = conforms(version, &text);
        assert!(valid, "{version}: {said}");
        assert!(!said.contains("Valid: 0"), "{version}: {said}");
    }
}

/// That the check above sees something.
#[test]
fn a_field_that_there_is_not_is_found() {
    let text = chart::text(&[]).unwrap().replace("readOnlyRootFilesystem", "readOnlyFilesystem");
    let (valid, said) = conforms("1.36", &text);
    assert!(!valid && said.contains("readOnlyFilesystem"), "{said}");
}
