//! Gangs of the sorts that share a GPU fleet: models too large for one node.

use std::iter::repeat_n;

use super::rng::Rng;
use super::workload::{GPU, PRODUCT, Sort, pod, sort};
use crate::k8s::object::Pod;

/// One sort of gang.
struct GangSort {
    member: Sort,
    members: usize,
    tensor_parallel: u32,
}

const SORTS: [GangSort; 4] = [
    // One set over the NVLink of several nodes.
    gang(4, 16, sort("deepseek-r1", 4, (48, 256), Some((GPU, 4)), Some((PRODUCT, "NVIDIA-GB200")))),
    gang(8, 32, sort("kimi-k2", 1, (48, 256), Some((GPU, 4)), Some((PRODUCT, "NVIDIA-GB200")))),
    // A set on each of two nodes, one pipeline.
    gang(2, 8, sort("llama-405b", 4, (64, 512), Some((GPU, 8)), Some((PRODUCT, "NVIDIA-H100-80GB-HBM3")))),
    gang(2, 8, sort("qwen3-480b", 3, (64, 512), Some((GPU, 8)), Some((PRODUCT, "NVIDIA-H200")))),
];

const fn gang(members: usize, tensor_parallel: u32, member: Sort) -> GangSort {
    GangSort { member, members, tensor_parallel }
}

/// So many gangs, each as its members, in the order in which they are created; the same for the same seed.
pub fn gangs(count: usize, rng: &mut Rng) -> Vec<Vec<Pod>> {
    // Drawn from bags with all sorts in their shares, so that even a few gangs are of several sorts.
    let bag: Vec<usize> = (0..SORTS.len()).flat_map(|at| repeat_n(at, SORTS[at].member.share)).collect();
    let mut drawn: Vec<usize> = vec![];
    while drawn.len() < count {
        let mut next = bag.clone();
        rng.shuffle(&mut next);
        drawn.extend(next);
    }
    let mut numbers = [0; SORTS.len()];
    let mut gang = |at: usize| {
        numbers[at] += 1;
        members(&SORTS[at], numbers[at], rng)
    };
    drawn.into_iter().take(count).map(&mut gang).collect()
}

/// Gangs of one sort, to add to a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Gangs {
    /// How many there are, as a share of the other pods.
    pub share: f64,
    /// How many members one has: each of these sizes as often.
    pub sizes: Vec<u32>,
    /// How many GPUs form one tensor-parallel set. A member asks for [`MAX_MEMBER_GPUS`] of them at most.
    pub tensor_parallel: u32,
}

/// GPUs of the largest machines that pods ask for.
pub const MAX_MEMBER_GPUS: u32 = 8;

impl Gangs {
    /// The members of all gangs beside so many other pods; the same for the same seed.
    pub fn pods(&self, others: usize, rng: &mut Rng) -> Vec<Pod> {
        let gangs = (self.share * others as f64).round() as usize;
        let gpus = self.tensor_parallel.min(MAX_MEMBER_GPUS);
        let mut next = |number: usize| {
            let size = self.sizes[rng.below(self.sizes.len())] as usize;
            let member = sort("gang", 1, (6 * gpus, 64 * gpus), Some((GPU, gpus)), None);
            members(&gang(size, self.tensor_parallel, member), number, rng)
        };
        (1..=gangs).flat_map(&mut next).collect()
    }
}

fn members(sort: &GangSort, number: usize, rng: &mut Rng) -> Vec<Pod> {
    let name = format!("{}-{number}", sort.member.name);
    let member = |at: usize| {
        let mut pod = pod(&sort.member, number, rng);
        pod.metadata.name = format!("{name}-{at}");
        let words = [
            ("testudo.dev/pod-group", name.clone()),
            ("testudo.dev/min-member", sort.members.to_string()),
            ("testudo.dev/tensor-parallel-size", sort.tensor_parallel.to_string()),
            ("testudo.dev/index", at.to_string()),
        ];
        pod.metadata.annotations = words.map(|(key, value)| (key.to_owned(), value)).into();
        pod
    };
    (0..sort.members).map(member).collect()
}

#[cfg(test)]
mod tests {
    use testudo_core::model::gang::Dialect;

    use super::*;
    use crate::k8s::pod::decode;

    #[test]
    fn members_are_read_as_gangs_with_sets() {
        let gangs = gangs(30, &mut Rng::new(1));
        assert_eq!(gangs.len(), 30);
        let mut names = std::collections::BTreeSet::new();
        for members in &gangs {
            for object in members {
                let (pod, problems) = decode(object);
                assert!(problems.is_empty(), "{problems:?}");
                let membership = pod.membership.as_ref().expect("a member");
                assert_eq!(membership.gang.dialect, Dialect::Testudo);
                assert_eq!(membership.terms.min_member, u32::try_from(members.len()).ok());
                assert!(names.insert(pod.key.name.clone()), "{} is there twice", pod.key);
            }
        }
    }
}
