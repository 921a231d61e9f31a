//! May testudo do what it does, and may whoever installs it?

use serde_json::Value;

use super::cluster::Installed;
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

/// What testudo's account must be allowed in the whole cluster, as it is configured.
pub fn needed(configuration: &Configuration) -> Vec<Permission> {
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
        let writes = [("patch", "resourceclaims"), ("update", "resourceclaims/status")];
        needed.extend(writes.map(|(verb, resource)| Permission::new(verb, DRA, resource)));
    }
    let autoscaling = &configuration.autoscaling;
    if autoscaling.enabled && autoscaling.protect_nodes {
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
    let account = &installed.account;
    vec![match &installed.denied {
        Ok(denied) if denied.is_empty() => Finding::ok(ABOUT, format!("{account} may do what testudo does")),
        Ok(denied) => Finding::failed(
            ABOUT,
            format!("{account} may not {}", few(denied.iter().map(ToString::to_string))),
            "helm upgrade makes the roles anew; config.claims and config.autoscaling add to them",
        ),
        Err(why) => Finding::unknown(ABOUT, why.clone(), "needs create on subjectaccessreviews"),
    }]
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
