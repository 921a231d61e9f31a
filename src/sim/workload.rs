//! Inference pods of the sorts that share a GPU fleet.

use super::rng::Rng;
use crate::k8s::object::{
    Container, Metadata, Pod, PodSpec, PodStatus, ResourceList, ResourceRequirements, Toleration,
};

/// How many pods there are for each node by default: enough to fill the fleet, and a few more.
pub const PODS_PER_NODE: usize = 8;

/// One sort of pod.
pub(super) struct Sort {
    pub(super) name: &'static str,
    /// How many there are of this sort, relative to the others.
    pub(super) share: usize,
    /// What the pod takes beside accelerators: CPUs and GiB.
    plain: (u32, u32),
    accelerator: Option<(&'static str, u32)>,
    selector: Option<(&'static str, &'static str)>,
}

pub(super) const fn sort(
    name: &'static str,
    share: usize,
    plain: (u32, u32),
    accelerator: Option<(&'static str, u32)>,
    selector: Option<(&'static str, &'static str)>,
) -> Sort {
    Sort { name, share, plain, accelerator, selector }
}

pub(super) const GPU: &str = "nvidia.com/gpu";
const NEURON: &str = "aws.amazon.com/neuron";
pub(super) const PRODUCT: &str = "nvidia.com/gpu.product";

const SORTS: [Sort; 21] = [
    // Tensor-parallel sets.
    sort("vllm-llama-405b", 2, (48, 512), Some((GPU, 8)), Some((PRODUCT, "NVIDIA-H100-80GB-HBM3"))),
    sort("vllm-deepseek-v3", 2, (48, 512), Some((GPU, 8)), Some((PRODUCT, "NVIDIA-H200"))),
    sort("vllm-mixtral-8x22b", 2, (32, 256), Some((GPU, 8)), None),
    sort("vllm-gpt-oss-120b", 4, (24, 160), Some((GPU, 4)), Some((PRODUCT, "NVIDIA-GB200"))),
    sort("vllm-qwen-72b", 4, (16, 96), Some((GPU, 4)), None),
    sort("vllm-llama-70b", 6, (8, 64), Some((GPU, 2)), None),
    // One GPU.
    sort("vllm-llama-8b", 10, (4, 32), Some((GPU, 1)), None),
    sort("triton-asr", 4, (4, 16), Some((GPU, 1)), Some((PRODUCT, "NVIDIA-A10G"))),
    sort("triton-diffusion", 5, (6, 32), Some((GPU, 1)), Some((PRODUCT, "NVIDIA-L40S"))),
    // Part of a GPU.
    sort("embed-small", 26, (2, 8), Some(("nvidia.com/mig-1g.5gb", 1)), None),
    sort("rerank-base", 14, (3, 12), Some(("nvidia.com/mig-2g.10gb", 1)), None),
    sort("vllm-phi-mini", 14, (4, 16), Some(("nvidia.com/mig-3g.20gb", 1)), None),
    sort("guard-classifier", 10, (1, 4), Some((GPU, 1)), Some((PRODUCT, "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"))),
    sort("notebook", 18, (2, 8), Some(("nvidia.com/gpu.shared", 1)), None),
    sort("tts-stream", 12, (2, 6), Some((GPU, 1)), Some(("nvidia.com/gpu.sharing-strategy", "mps"))),
    // Trainium.
    sort("neuron-llama-70b", 3, (24, 192), Some((NEURON, 8)), None),
    sort("neuron-mistral-7b", 5, (8, 48), Some((NEURON, 2)), None),
    sort("neuron-bert", 10, (2, 8), Some(("aws.amazon.com/neuroncore", 2)), None),
    // No accelerator.
    sort("gateway", 26, (3, 6), None, None),
    // What no node can ever serve.
    sort("vllm-tp16", 1, (64, 512), Some((GPU, 16)), None),
    sort("whole-slice", 1, (8, 64), Some(("nvidia.com/mig-7g.40gb", 1)), None),
];

/// So many pods in the order in which they are created; the same for the same seed.
pub fn workload(pods: usize, rng: &mut Rng) -> Vec<Pod> {
    let mut workload: Vec<Pod> = SORTS
        .iter()
        .zip(shares(pods))
        .flat_map(|(sort, count)| (1..=count).map(move |number| (sort, number)))
        .map(|(sort, number)| pod(sort, number, rng))
        .collect();
    rng.shuffle(&mut workload);
    workload
}

/// How many pods of each sort. The running total is rounded, so that all together make `pods`.
fn shares(pods: usize) -> impl Iterator<Item = usize> {
    let total: usize = SORTS.iter().map(|sort| sort.share).sum();
    SORTS.iter().scan(0, move |before, sort| {
        let upto = |share: usize| (share * pods + total / 2) / total;
        let count = upto(*before + sort.share) - upto(*before);
        *before += sort.share;
        Some(count)
    })
}

/// A pod of a sort.
pub(super) fn pod(sort: &Sort, number: usize, rng: &mut Rng) -> Pod {
    let (cpus, gib) = sort.plain;
    let plain = [("cpu".to_owned(), format!("{cpus}")), ("memory".to_owned(), format!("{gib}Gi"))];
    let accelerator = sort.accelerator.map(|(name, count)| (name.to_owned(), count.to_string()));
    let amounts = |list: Vec<(String, String)>| -> ResourceList {
        list.into_iter().map(|(name, amount)| (name, amount.as_str().into())).collect()
    };
    let resources = ResourceRequirements {
        requests: amounts(plain.into_iter().chain(accelerator.clone()).collect()),
        limits: amounts(accelerator.into_iter().collect()),
    };
    // What the admission plugin ExtendedResourceToleration adds, and what an image for both architectures carries.
    let of_taint = |(name, _): (&str, u32)| if name.starts_with("nvidia") { GPU } else { NEURON };
    let arm = sort.selector.filter(|(_, value)| *value == "NVIDIA-GB200").map(|_| "kubernetes.io/arch");
    let tolerated = sort.accelerator.map(of_taint).into_iter().chain(arm);
    let tolerations = tolerated.map(|key| Toleration {
        key: Some(key.into()),
        operator: Some("Exists".into()),
        effect: Some("NoSchedule".into()),
        ..Toleration::default()
    });
    Pod {
        metadata: Metadata {
            name: format!("{}-{number}", sort.name),
            namespace: "inference".into(),
            uid: uid(rng),
            labels: [("app".to_owned(), sort.name.to_owned())].into(),
            ..Metadata::default()
        },
        spec: PodSpec {
            scheduler_name: Some("testudo-scheduler".into()),
            priority: Some(0),
            node_selector: sort.selector.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            tolerations: tolerations.collect(),
            containers: vec![Container { name: "server".into(), resources, ..Container::default() }],
            ..PodSpec::default()
        },
        status: PodStatus { phase: Some("Pending".into()), ..PodStatus::default() },
    }
}

/// A unique id, as the API server gives them.
pub fn uid(rng: &mut Rng) -> String {
    let (high, low) = (rng.number(), rng.number());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::k8s::pod::decode;

    #[test]
    fn every_pod_is_understood_and_one_of_its_kind() {
        let pods = workload(300, &mut Rng::new(7));
        assert_eq!(pods.len(), 300);
        let decoded: Vec<_> = pods.iter().map(decode).collect();
        assert!(decoded.iter().all(|(_, problems)| problems.is_empty()), "{decoded:?}");
        assert_eq!(decoded.iter().map(|(pod, _)| pod.key.clone()).collect::<BTreeSet<_>>().len(), 300);
        assert_eq!(decoded.iter().map(|(pod, _)| pod.uid.clone()).collect::<BTreeSet<_>>().len(), 300);
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(workload(50, &mut Rng::new(7)), workload(50, &mut Rng::new(7)));
        assert_ne!(workload(50, &mut Rng::new(7)), workload(50, &mut Rng::new(8)));
    }
}
