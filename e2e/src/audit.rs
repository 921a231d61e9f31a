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

/// A request to bind a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BindingRequest {
    /// Who has asked.
    pub user: String,
    /// Which pod.
    pub pod: String,
    /// Its unique id, empty if the request did not say.
    pub uid: String,
    /// The status code of the answer; 201 has bound the pod.
    pub code: u64,
}

impl ControlPlane {
    /// Every kind of request that `user` (see [`Kubeconfig::user`](crate::Kubeconfig::user)) has made so far, but for
    /// those that were denied while the API server was restarted.
    pub fn accesses_of(&self, user: &str) -> Result<BTreeSet<Access>> {
        let events = self.audit_log()?;
        let own =
            events.iter().filter(|(_, event)| event["user"]["username"] == user && event["objectRef"].is_object());
        let accesses = own.map(|(offset, event)| (*offset, access(event)));
        Ok(accesses.filter(|(offset, a)| a.allowed || !self.is_in_upheaval(*offset)).map(|(_, a)| a).collect())
    }

    /// Every request to bind a pod of `namespace`, whoever has made it, in their order.
    pub fn bindings_in(&self, namespace: &str) -> Result<Vec<BindingRequest>> {
        let events = self.audit_log()?;
        let bindings = events.iter().map(|(_, event)| event).filter(|event| {
            let object = &event["objectRef"];
            event["verb"] == "create" && object["subresource"] == "binding" && object["namespace"] == namespace
        });
        let request = |event: &Value| BindingRequest {
            user: text(&event["user"]["username"]),
            pod: text(&event["objectRef"]["name"]),
            uid: text(&event["objectRef"]["uid"]),
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        };
        Ok(bindings.map(request).collect())
    }

    /// Every entry with its place in the file.
    fn audit_log(&self) -> Result<Vec<(u64, Value)>> {
        let path = self.dir().file("audit.log");
        let log = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = log.split_inclusive('\n').scan(0, |offset, line| {
            let begin = *offset;
            *offset += line.len() as u64;
            Some((begin, line))
        });
        // The last line may be one that is being written.
        Ok(lines.filter_map(|(offset, line)| Some((offset, serde_json::from_str(line).ok()?))).collect())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn access(event: &Value) -> Access {
    let object = &event["objectRef"];
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
