//! What would be if: asked of a branch of the engine, so that nothing comes of it.

use std::collections::BTreeMap;

use serde::Serialize;
use testudo_core::claims::{BestFit, ClaimKey};
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::PodKey;

use crate::claims::with_large_stack;
use crate::explain;
use crate::host::Host;
use crate::k8s::manifests::{self, Limits};
use crate::plan::{self, Fit, Room, Workload, WorkloadError};

/// The longest manifest that is tried.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Documents of a manifest, at most.
const MAX_DOCUMENTS: usize = 64;

/// Pods that are tried for one workload, at most.
const MAX_PODS: usize = 2_000;

/// Nodes that are named as places, those with the most pods first.
const MAX_NODES: usize = 24;

/// Reasons that are told, those of most nodes first.
const MAX_REASONS: usize = 8;

/// Would it fit?
#[derive(Debug, Serialize)]
pub struct Answer {
    /// What the manifest describes, one after the other as if those before it had been made.
    pub workloads: Vec<WorkloadAnswer>,
}

/// Would one workload fit?
#[derive(Debug, Serialize)]
pub struct WorkloadAnswer {
    /// Kind, namespace and name.
    pub name: String,
    /// How many copies it has: pods, or groups of pods that start together.
    pub copies: usize,
    /// How many pods a copy has.
    pub pods: usize,
    /// How many copies fit.
    pub fitting: usize,
    /// Where their pods would go, with the number of pods.
    pub places: Vec<(String, usize)>,
    /// Why no more fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What nodes say against the first copy that does not fit, with the number of nodes.
    pub refusals: Vec<(String, usize)>,
}

/// Tries a manifest on the present state. May take a good part of a second.
///
/// # Errors
/// What is wrong with the manifest, and where.
pub fn answer(host: &Host, text: &[u8], scheduler: &str) -> Result<Answer, String> {
    let limits = Limits { file_bytes: MAX_TEXT_BYTES, documents: MAX_DOCUMENTS };
    let objects = manifests::objects_in("manifest", text, &limits).map_err(|error| error.to_string())?;
    let workloads = plan::workloads(&objects).map_err(|error| error.to_string())?;
    if workloads.is_empty() {
        return Err(format!("there is nothing in it to place: give one of {}", plan::KNOWN));
    }
    let mut room = Room::on(host.branch());
    let ready = workloads.into_iter().map(|workload| {
        room.can_judge(&workload)?;
        Ok(workload.with_templates(&[])?.scheduled_by(scheduler))
    });
    let ready = ready.collect::<Result<Vec<Workload>, WorkloadError>>().map_err(|error| error.to_string())?;
    Ok(Answer { workloads: ready.into_iter().map(|workload| WorkloadAnswer::of(&mut room, workload)).collect() })
}

impl WorkloadAnswer {
    fn of(room: &mut Room, workload: Workload) -> Self {
        let most = (MAX_PODS / workload.pods().max(1)).max(1);
        let Fit { placed, refusal } = plan::fill(room, &workload, workload.copies.min(most));
        let mut by_node: BTreeMap<&NodeName, usize> = BTreeMap::new();
        placed.iter().flat_map(|copy| &copy.nodes).for_each(|node| *by_node.entry(node).or_default() += 1);
        let mut places: Vec<(String, usize)> =
            by_node.into_iter().map(|(node, pods)| (node.to_string(), pods)).collect();
        places.sort_by_key(|(_, pods)| std::cmp::Reverse(*pods));
        places.truncate(MAX_NODES);
        let (reason, mut refusals) = match refusal {
            Some(refusal) => (Some(refusal.reason), refusal.nodes),
            None if placed.len() < workload.copies => {
                (Some(format!("the first {most} copies fit; more were not tried")), vec![])
            }
            None => (None, vec![]),
        };
        refusals.truncate(MAX_REASONS);
        let (name, copies, pods, fitting) = (workload.name.clone(), workload.copies, workload.pods(), placed.len());
        Self { name, copies, pods, fitting, places, reason, refusals }
    }
}

/// Who would have to end for a gang to start.
#[derive(Debug, Serialize)]
pub struct MakingRoom {
    /// The pods, with their nodes; none where the gang would not fit even then, or does not wait for places.
    pub pods: Option<Vec<Ending>>,
}

/// A pod that would have to end.
#[derive(Debug, Serialize)]
pub struct Ending {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
}

/// Who would have to end for the gangs of this name to start. May take a good part of a second.
pub fn room(host: &Host, namespace: &str, name: &str) -> MakingRoom {
    let mut branch = host.branch();
    let gang = branch.gang_stages().find(|(key, _)| key.namespace == namespace && key.name == name);
    let gang = gang.map(|(key, _)| key.clone());
    let found = gang.and_then(|gang| branch.making_room(&gang)?.who_must_end());
    let ending =
        |(pod, node): (PodKey, NodeName)| Ending { namespace: pod.namespace, name: pod.name, node: node.to_string() };
    MakingRoom { pods: found.map(|pods| pods.into_iter().map(ending).collect()) }
}

/// Where a claim could get devices, or what stands against it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimPlaces {
    /// The best node for it; none where it fits nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What it would get there.
    pub devices: Vec<String>,
    /// What stands against it, the same of most nodes first.
    pub refusals: Vec<ClaimRefusal>,
    /// What could be done.
    pub what_to_do: Vec<String>,
}

/// What stands against a claim on some nodes.
#[derive(Debug, Serialize)]
pub struct ClaimRefusal {
    /// What.
    pub text: String,
    /// On how many nodes.
    pub nodes: usize,
    /// Some of them.
    pub examples: Vec<String>,
}

/// Nodes that are named for each refusal.
const MAX_EXAMPLES: usize = 3;

/// Where a claim could get devices, whoever is to give them; nothing where there is no such claim.
///
/// # Errors
/// When it asks for what cannot be judged.
pub fn places(host: &Host, claim: &ClaimKey) -> Result<Option<ClaimPlaces>, String> {
    let mut branch = host.branch();
    let found = with_large_stack(|| Ok(branch.try_claim(claim).transpose()?));
    Ok(found.map_err(|error| error.to_string())?.map(|found| match found {
        BestFit::Fits(fit) => {
            let devices = fit.allocations.iter().flat_map(|allocation| &allocation.devices);
            let devices = devices.map(|device| device.device.to_string()).collect();
            ClaimPlaces { node: Some(fit.node.to_string()), devices, refusals: vec![], what_to_do: vec![] }
        }
        BestFit::Refused(refusals) => {
            let mut groups = explain::by_refusal(&refusals);
            groups.truncate(MAX_REASONS);
            let refusal = |(text, nodes): (String, Vec<String>)| ClaimRefusal {
                text,
                nodes: nodes.len(),
                examples: nodes.into_iter().take(MAX_EXAMPLES).collect(),
            };
            let what_to_do = explain::claim_remedy(&refusals);
            ClaimPlaces { node: None, devices: vec![], refusals: groups.into_iter().map(refusal).collect(), what_to_do }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::super::view::testing::{Fleet, gpu_node, gpus};
    use super::*;

    fn deployment(replicas: usize, gpus: u32) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d, namespace: team}}\nspec:\n  replicas: {replicas}\n  \
             template: {{spec: {{containers: [{{name: c, resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}}}]}}}}\n"
        )
    }

    #[test]
    fn it_is_told_how_many_fit_where_and_what_is_missing_and_nothing_changes() {
        let fleet = Fleet::of(2);
        fleet.run(gpus("p", 6), "node-0");
        let before = fleet.host.snapshot().generation();
        for _ in 0..2 {
            let answer = answer(&fleet.host, deployment(4, 4).as_bytes(), "s").expect("an answer");
            let [deployment] = answer.workloads.try_into().expect("one workload");
            assert_eq!((deployment.copies, deployment.fitting), (4, 2));
            assert_eq!(deployment.places, [("node-1".to_owned(), 2)]);
            assert_eq!(deployment.refusals, [("needs 4 nvidia.com/gpu, too few are free".to_owned(), 2)]);
        }
        assert_eq!(fleet.host.snapshot().generation(), before);
        assert!(fleet.host.pods().iter().all(|pod| pod.key.name == "p"));
    }

    #[test]
    fn a_gang_fits_as_a_whole_or_not_at_all() {
        let fleet = Fleet::of(2);
        let set = |size: usize| {
            format!(
                "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {{name: l}}\nspec:\n  \
                 replicas: 1\n  leaderWorkerTemplate:\n    size: {size}\n    workerTemplate:\n      spec: {{containers: \
                 [{{name: c, resources: {{limits: {{nvidia.com/gpu: 8}}}}}}]}}\n"
            )
        };
        let tried = |size| answer(&fleet.host, set(size).as_bytes(), "s").expect("an answer").workloads.remove(0);
        let two = tried(2);
        assert_eq!((two.fitting, two.pods, two.places.len()), (1, 2, 2));
        let three = tried(3);
        assert_eq!((three.fitting, three.places.len()), (0, 0));
        let words = "needs 3 places for members asking for 8 nvidia.com/gpu, 2 are free";
        assert_eq!(three.reason.as_deref(), Some(words), "the engine's own words");
    }

    #[test]
    fn a_pod_as_people_write_it_is_tried() {
        let fleet = Fleet::of(1);
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, resources: {limits: \
                   {nvidia.com/gpu: 8}}}]}\n";
        assert_eq!(answer(&fleet.host, pod.as_bytes(), "s").expect("an answer").workloads[0].fitting, 1);
    }

    fn with_claims(replicas: usize, devices: usize) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d, namespace: team}}\nspec:\n  replicas: {replicas}\n  \
             template: {{spec: {{containers: [{{name: c}}], resourceClaims: [{{name: gpus, resourceClaimTemplateName: t}}]}}}}\n\
             ---\napiVersion: resource.k8s.io/v1\nkind: ResourceClaimTemplate\nmetadata: {{name: t, namespace: team}}\nspec: \
             {{spec: {{devices: {{requests: [{{name: r, exactly: {{deviceClassName: gpu.nvidia.com, count: {devices}}}}}]}}}}}}\n"
        )
    }

    #[test]
    fn claims_are_given_devices_and_nothing_changes() {
        let (node, mut slice) = gpu_node("n", 0);
        slice["spec"]["devices"] = serde_json::json!([{"name": "gpu-0"}, {"name": "gpu-1"}, {"name": "gpu-2"}]);
        let fleet = Fleet::with_devices(vec![(node, slice)], vec![]);
        fleet.add_class("gpu.nvidia.com");
        let tried = |text: &str| answer(&fleet.host, text.as_bytes(), "s").map(|mut answer| answer.workloads.remove(0));
        for _ in 0..2 {
            let answer = tried(&with_claims(9, 1)).expect("an answer");
            assert_eq!((answer.fitting, &answer.places), (3, &vec![("n".to_owned(), 3)]));
            let reason = answer.reason.expect("six do not fit");
            assert!(reason.starts_with("no node has free devices: claim gpus needs 1 device"), "{reason}");
        }
        assert_eq!(tried(&with_claims(1, 4)).expect("an answer").fitting, 0);
        assert!(fleet.host.claim_names().is_empty());
        let without = with_claims(1, 1);
        let error = tried(without.split("---").next().expect("a deployment")).expect_err("no template");
        assert!(error.contains("ResourceClaimTemplate team/t, which is not known"), "{error}");
    }

    #[test]
    fn where_devices_are_not_looked_at_nothing_is_said_of_claims() {
        let fleet = Fleet::of(1);
        let error = answer(&fleet.host, with_claims(1, 1).as_bytes(), "s").expect_err("nothing can be said");
        assert!(error.contains("no ResourceSlices are known"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        let fleet = Fleet::of(1);
        let error = |text: &str| answer(&fleet.host, text.as_bytes(), "s").expect_err("must be refused");
        assert!(error("kind: [").starts_with("manifest:"), "{}", error("kind: ["));
        assert!(error("").contains("nothing in it to place"));
        assert!(error("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: 3}").contains("containers"));
    }

    #[test]
    fn it_is_told_who_would_have_to_end() {
        let fleet = Fleet::of(2);
        fleet.run(gpus("p", 2), "node-0");
        fleet.run(gpus("q", 1), "node-1");
        for at in 0..2 {
            let mut member = gpus(&format!("g-{at}"), 8);
            member["metadata"]["annotations"] =
                serde_json::json!({"testudo.dev/pod-group": "g", "testudo.dev/min-member": "2"});
            member["status"]["phase"] = "Pending".into();
            fleet.add(member);
        }
        let pods = room(&fleet.host, "team", "g").pods.expect("somebody is in the way");
        let names: Vec<(&str, &str)> = pods.iter().map(|pod| (pod.name.as_str(), pod.node.as_str())).collect();
        assert_eq!(names, [("p", "node-0"), ("q", "node-1")]);
        assert!(room(&fleet.host, "team", "nobody").pods.is_none());
        assert_eq!(fleet.host.pods().len(), 4, "nobody has ended");
    }
}
