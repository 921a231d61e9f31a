//! What a user has asked of the API server: from the audit log, to compare permissions given with permissions used.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::control_plane::ControlPlane;

/// One kind of request, in RBAC's terms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// As in `get`, `watch`, `patch`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, with `/subresource` if there is one.
    pub resource: String,
    /// The namespace, empty for requests across all of them.
    pub namespace: String,
    /// Whether RBAC allowed it.
    pub allowed: bool,
}

impl ControlPlane {
    /// Every kind of request that `user` (see [`Kubeconfig::user`](crate::Kubeconfig::user)) has made so far.
    pub fn accesses_of(&self, user: &str) -> Result<BTreeSet<Access>> {
        let path = self.dir().file("audit.log");
        let log = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut found = BTreeSet::new();
        for line in log.lines() {
            // The last line may be one that is being written.
            let Ok(event) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            if event["user"]["username"] == user && event["objectRef"].is_object() {
                found.insert(access(&event));
            }
        }
        Ok(found)
    }
}

fn access(event: &Value) -> Access {
    let object = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = match object["subresource"].as_str() {
        Some(sub) => format!("{}/{sub}", text(&object["resource"])),
        None => text(&object["resource"]),
    };
    Access {
        verb: text(&event["verb"]),
        group: text(&object["apiGroup"]),
        resource,
        namespace: text(&object["namespace"]),
        allowed: event["annotations"]["authorization.k8s.io/decision"] == "allow",
    }
}
