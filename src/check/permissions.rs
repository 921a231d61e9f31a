//! May testudo do what it does, and may whoever installs it?

use serde_json::Value;

use super::cluster::Installed;
use super::versions::minor;
use super::{Finding, few};
use crate::config::{Configuration, ProvisioningClass};

const ABOUT: &str = "permissions";

/// What the chart gives to testudo's account by its own values.
const SHIPPED: &str = include_str!("../../deploy/manifests/rbac.yaml");

/// Something that may be done, or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// `list`.
    pub verb: String,
    /// The group of the resource, empty for the core.
    pub group: String,
    /// `pods/status`.
    pub resource: String,
}

impl Permission {
    fn new(verb: &str, group: &str, resource: &str) -> Self {
        Self { verb: verb.into(), group: group.into(), resource: resource.into() }
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { verb, group, resource } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "{verb} {resource}{dot}{group}")
    }
}

/// From this minor version on whoever allocates claims needs a right on their binding.
const BINDING_OF_CLAIMS: u32 = 36;

/// What testudo's account must be allowed in the whole cluster of this version, as it is configured.
pub fn needed(configuration: &Configuration, server: &str) -> Vec<Permission> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(SHIPPED).unwrap_or_default();
    let roles = documents.iter().filter(|document| document["kind"] == "ClusterRole");
    let rules = roles.flat_map(|role| role["rules"].as_array().into_iter().flatten());
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let mut needed = vec![];
    for rule in rules {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                let of = |verb: String| Permission { verb, group: group.clone(), resource: resource.clone() };
                needed.extend(words(&rule["verbs"]).into_iter().map(of));
            }
        }
    }
    if !configuration.claims.device_classes.is_empty() {
        const DRA: &str = "resource.k8s.io";
        for resource in ["resourceclaims", "resourceslices", "deviceclasses"] {
            needed.extend(["list", "watch"].map(|verb| Permission::new(verb, DRA, resource)));
        }
        let of_single_ones = [
            ("get", "resourceclaims"),
            ("get", "deviceclasses"),
            ("patch", "resourceclaims"),
            ("update", "resourceclaims/status"),
        ];
        needed.extend(of_single_ones.map(|(verb, resource)| Permission::new(verb, DRA, resource)));
        if minor(server).is_none_or(|minor| minor >= BINDING_OF_CLAIMS) {
            needed.push(Permission::new("update", DRA, "resourceclaims/binding"));
        }
    }
    let autoscaling = &configuration.autoscaling;
    // Without protectNodes, too: what was protected before is still to be let go.
    if autoscaling.enabled {
        needed.extend(["get", "patch"].map(|verb| Permission::new(verb, "", "nodes")));
    }
    if autoscaling.enabled && autoscaling.provisioning_class != ProvisioningClass::None {
        let requests = |verb| Permission::new(verb, "autoscaling.x-k8s.io", "provisioningrequests");
        needed.extend(["get", "create", "delete"].map(requests));
        needed.push(Permission::new("create", "", "podtemplates"));
    }
    needed.sort();
    needed.dedup();
    needed
}

/// What whoever installs the chart must be allowed.
pub fn to_install() -> Vec<Permission> {
    let rbac = "rbac.authorization.k8s.io";
    [
        ("", "namespaces"),
        ("", "serviceaccounts"),
        ("", "configmaps"),
        ("", "secrets"),
        ("", "services"),
        ("apps", "deployments"),
        ("policy", "poddisruptionbudgets"),
        ("networking.k8s.io", "networkpolicies"),
        (rbac, "clusterroles"),
        (rbac, "clusterrolebindings"),
        (rbac, "roles"),
        (rbac, "rolebindings"),
    ]
    .map(|(group, resource)| Permission::new("create", group, resource))
    .into()
}

pub fn findings(installed: &Installed) -> Vec<Finding> {
    of_account(&installed.account, &installed.denied)
}

/// What an account may not do.
pub(super) fn of_account(account: &str, denied: &Result<Vec<Permission>, String>) -> Vec<Finding> {
    let denied = match denied {
        Ok(denied) if denied.is_empty() => {
            return vec![Finding::ok(ABOUT, format!("{account} may do what testudo does"))];
        }
        Ok(denied) => denied,
        Err(why) => return vec![Finding::unknown(ABOUT, why.clone(), "needs create on subjectaccessreviews")],
    };
    // The one that the chart can leave out, which nothing else in the cluster tells.
    let opens_gates = Permission::new("patch", "", "pods");
    let mut findings = vec![];
    if denied.contains(&opens_gates) {
        findings.push(Finding::warning(
            ABOUT,
            format!("{account} may not {opens_gates}: it opens no gates"),
            "right with gates.enabled: false, where no pod may have the gate testudo.dev/gang; else set it to true",
        ));
    }
    let others: Vec<String> =
        denied.iter().filter(|permission| **permission != opens_gates).map(ToString::to_string).collect();
    if !others.is_empty() {
        findings.push(Finding::failed(
            ABOUT,
            format!("{account} may not {}", few(others)),
            "helm upgrade makes the roles anew; config.claims and config.autoscaling add to them",
        ));
    }
    findings
}

/// What is said before the installation.
pub fn before(denied: &Result<Vec<Permission>, String>) -> Finding {
    match denied {
        Ok(denied) if denied.is_empty() => Finding::ok(ABOUT, "you may install the chart"),
        Ok(denied) => Finding::failed(
            ABOUT,
            format!("you may not {}", few(denied.iter().map(ToString::to_string))),
            "let a cluster administrator install it",
        ),
        Err(why) => Finding::unknown(ABOUT, why.clone(), "needs create on selfsubjectaccessreviews"),
    }
}
