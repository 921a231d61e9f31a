//! Opening every scheduling gate of ours in a cluster, for when testudo goes and nobody else would.

use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::object;
use super::pages;
use super::steering::SCHEDULING_GATE;
use super::watched::Watched;

/// What closes gates: the binding of the admission policy (`policies/gangs`), or the configuration of the webhook.
pub const CLOSER: &str = "testudo-gangs";
const CLOSERS: [&str; 2] = ["MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration"];

/// What one look at all pods has come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pass {
    /// Pods whose gate is open now, `namespace/name`.
    pub opened: Vec<String>,
    /// Pods whose gate is still closed, and why.
    pub failed: Vec<String>,
}

/// The patch that takes our gate off a pod, and leaves those of others.
pub(super) fn opening(uid: &str) -> Value {
    json!({
        "metadata": {"uid": uid},
        "spec": {"schedulingGates": [{"$patch": "delete", "name": SCHEDULING_GATE}]},
    })
}

/// Takes away what closes gates. Says what there was.
///
/// # Errors
/// When the API server refuses, or does not answer.
pub async fn stop_closing(client: &Client) -> Result<Vec<&'static str>, kube::Error> {
    let mut deleted = vec![];
    for kind in CLOSERS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind));
        let closers: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        match closers.delete(CLOSER, &DeleteParams::default()).await {
            Ok(_) => deleted.push(kind),
            // None of this name, or no such kind in a cluster older than 1.36.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(deleted)
}

/// Opens our gate on every pod that has it, or with `dry_run` only says on which. A pod that cannot be changed does not
/// stop the others; one that is gone needs nothing.
///
/// # Errors
/// When pods cannot be listed.
pub async fn open_all(client: &Client, dry_run: bool) -> Result<Pass, kube::Error> {
    let all: Api<Watched<object::Pod>> = Api::all(client.clone());
    let mut pass = Pass::default();
    let mut page = Some(pages::first());
    while let Some(asked) = page {
        let pods = all.list(&asked).await?;
        page = pages::after(&pods.metadata);
        for pod in pods.items {
            // What cannot be read as a pod has no gate that could be seen.
            let Ok(read) = &pod.object else { continue };
            if !read.spec.scheduling_gates.iter().any(|gate| gate.name == SCHEDULING_GATE) {
                continue;
            }
            let (namespace, name) = (&read.metadata.namespace, &read.metadata.name);
            let outcome = if dry_run { Ok(true) } else { open(client, read).await };
            match outcome {
                Ok(true) => pass.opened.push(format!("{namespace}/{name}")),
                Ok(false) => {}
                Err(error) => pass.failed.push(format!("{namespace}/{name}: {error}")),
            }
        }
    }
    Ok(pass)
}

/// Opens the gate of one pod. Says whether the pod is still there.
async fn open(client: &Client, pod: &object::Pod) -> Result<bool, kube::Error> {
    let pods: Api<Watched<object::Pod>> = Api::namespaced(client.clone(), &pod.metadata.namespace);
    let patch = Patch::Strategic(opening(&pod.metadata.uid));
    match pods.patch(&pod.metadata.name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(true),
        // With another unique id the API server takes the patch for a conflict.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::mock::{ApiServer, failure};
    use super::*;

    fn pod(name: &str, gates: &[&str]) -> Value {
        let gates: Vec<Value> = gates.iter().map(|gate| json!({"name": gate})).collect();
        json!({
            "metadata": {"namespace": "team", "name": name, "uid": format!("uid-{name}")},
            "spec": {"schedulingGates": gates},
        })
    }

    fn list(next: &str, pods: &[Value]) -> String {
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": next}, "items": pods}).to_string()
    }

    /// Two pages of pods; one pod is gone, one may not be changed.
    fn cluster() -> ApiServer {
        ApiServer::new(|request| {
            Some(if request.starts_with("GET") {
                let second = request.contains("continue=more");
                let (ours, other) = (SCHEDULING_GATE, "kueue.x-k8s.io/admission");
                let first = [pod("a", &[ours]), pod("none", &[]), pod("both", &[ours, other])];
                let rest = [pod("gone", &[ours]), pod("kept", &[ours]), pod("other", &[other])];
                (200, if second { list("", &rest) } else { list("more", &first) })
            } else if request.contains("/pods/gone") {
                failure(404, "NotFound", "gone")
            } else if request.contains("/pods/kept") {
                failure(403, "Forbidden", "a webhook says no")
            } else {
                (200, pod("any", &[]).to_string())
            })
        })
    }

    #[tokio::test]
    async fn every_gate_of_ours_is_opened_and_no_other() {
        let server = cluster();
        let pass = open_all(&server.client, false).await.unwrap();
        assert_eq!(pass.opened, ["team/a", "team/both"]);
        assert_eq!(pass.failed.len(), 1);
        assert!(
            pass.failed[0].contains("team/kept") && pass.failed[0].contains("a webhook says no"),
            "{:?}",
            pass.failed
        );
        let requests = server.requests.lock().clone();
        let patches: Vec<&String> = requests.iter().filter(|request| request.starts_with("PATCH")).collect();
        assert_eq!(patches.len(), 4, "{requests:?}");
        assert!(patches[0].contains("\"uid\":\"uid-a\""), "{patches:?}");
    }

    #[tokio::test]
    async fn a_dry_run_changes_nothing() {
        let server = cluster();
        let pass = open_all(&server.client, true).await.unwrap();
        assert_eq!(pass.opened, ["team/a", "team/both", "team/gone", "team/kept"]);
        assert!(server.requests.lock().iter().all(|request| request.starts_with("GET")));
    }

    #[tokio::test]
    async fn no_policy_is_no_error_and_a_refusal_is() {
        let server =
            ApiServer::new(|_| Some(failure(404, "NotFound", "the server could not find the requested resource")));
        assert!(stop_closing(&server.client).await.unwrap().is_empty());
        let server = ApiServer::new(|_| Some(failure(403, "Forbidden", "no")));
        assert!(stop_closing(&server.client).await.is_err());
    }
}
