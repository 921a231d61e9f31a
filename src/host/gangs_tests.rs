use prometheus_client::registry::Registry;
use serde_json::json;
use testudo_core::engine::{ClaimPolicy, Policy};
use testudo_core::model::catalogue::Catalogue;
use tokio::time::timeout;

use super::*;
use crate::claims;
use crate::host::Bindings;
use crate::host::binding::tests::claim;
use crate::k8s::bind::Binder;
use crate::k8s::events::Events;
use crate::k8s::group_status::GroupStatuses;
use crate::k8s::manifests::Manifests;
use crate::k8s::mock::{ApiServer, failure};
use crate::k8s::protect::Protector;
use crate::k8s::provisioning::Provisioner;
use crate::k8s::steer::Steerer;

/// A node with one device, and a pod that waits for claim `c`; the watch shows that nobody has the device.
fn host(api: &ApiServer) -> Host {
    let claims = ClaimPolicy { classes: ["gpu".to_owned()].into(), ..ClaimPolicy::default() };
    let (binder, writer) = (Binder::new(api.client.clone()), ClaimWriter::new(api.client.clone()));
    let bindings = Bindings::Cluster { binder, claims: writer, timeout: Duration::from_secs(1) };
    let policy = Policy { claims, ..Policy::default() };
    let host = Host::new(policy, Mode::Enforce, Catalogue::builtin(), bindings, &mut Registry::default());
    let node = json!({"metadata": {"name": "a"}, "status": {"capacity": {"pods": "9"}, "allocatable": {"pods": "9"}}});
    let pod = json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "p"},
        "spec": {"resourceClaims": [{"name": "c", "resourceClaimName": "c"}]},
    });
    let class = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {},
    });
    let slice = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"},
        "spec": {
            "driver": "d", "nodeName": "a", "devices": [{"name": "gpu-0"}],
            "pool": {"name": "a", "generation": 1, "resourceSliceCount": 1},
        },
    });
    let seen = |name| claims::seen_claim(&claim(name, 7, false)).expect("a claim");
    host.take_manifests(Manifests {
        nodes: vec![serde_json::from_value(node).expect("a node")],
        pods: vec![serde_json::from_value(pod).expect("a pod")],
        classes: vec![claims::class(&class).expect("a class")],
        slices: vec![claims::slice(&slice).expect("a slice")],
        claims: vec![seen("c"), seen("d")],
        ..Manifests::default()
    });
    host
}

pub(in crate::host) fn writers(api: &ApiServer) -> GangWriters {
    let client = || api.client.clone();
    GangWriters {
        steerer: Steerer::new(client()),
        provisioner: Provisioner::new(client()),
        protector: Protector::new(client()),
        claims: ClaimWriter::new(client()),
        events: Events::new(client(), None),
        statuses: GroupStatuses::start(client()),
    }
}

#[tokio::test]
async fn what_an_earlier_leader_gave_is_known_before_anything_is_given() {
    for (is_given, fails) in [(false, false), (true, false), (false, true)] {
        let api = ApiServer::new(move |request| {
            let list = json!({
                "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimList", "metadata": {},
                "items": [claim("c", 7, false), claim("d", 8, is_given)],
            });
            let is_list = request.starts_with("GET") && request.contains("/resource.k8s.io/v1/resourceclaims");
            Some(match (is_list, fails) {
                (true, false) => (200, list.to_string()),
                (true, true) => failure(500, "InternalError", "etcd is away"),
                (false, _) => failure(409, "Conflict", "for the test that is enough"),
            })
        });
        let host = Arc::new(host(&api));
        let _ = timeout(Duration::from_millis(1_500), Arc::clone(&host).plan_gangs(Some(writers(&api)))).await;
        let requests = api.requests.lock();
        let gives = requests.iter().any(|line| line.starts_with("PATCH") && line.contains("/resourceclaims/c"));
        assert_eq!(gives, !is_given && !fails, "given {is_given}, fails {fails}: {requests:?}");
    }
}
