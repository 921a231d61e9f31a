//! Ours: what stands on pods under `testudo.dev/`. Annotations win over labels of the same name.

use std::time::Duration;

use testudo_core::model::gang::{Role, Terms, TopologyRule};

use super::levels;
use super::limits::{INDICES, MEMBERS, PARALLEL, check_name};
use super::reading::{Reading, Said};

/// The name of the gang that a pod is a member of.
pub const POD_GROUP: &str = "testudo.dev/pod-group";
const MIN_MEMBER: &str = "testudo.dev/min-member";
const TENSOR_PARALLEL_SIZE: &str = "testudo.dev/tensor-parallel-size";
const PIPELINE_PARALLEL_SIZE: &str = "testudo.dev/pipeline-parallel-size";
/// Where the gang may or should stand.
pub(super) const TOPOLOGY: &str = "testudo.dev/topology";
const HOLD_TIMEOUT: &str = "testudo.dev/hold-timeout";
const ROLE: &str = "testudo.dev/role";
const INDEX: &str = "testudo.dev/index";

/// Shorter ones end before a controller has made a pod, longer ones hold GPUs that nobody misses any more.
const HOLD_TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);

/// What a pod says in our words, which goes for gangs of every dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ours {
    /// How many members must be able to start at once.
    pub min_member: Option<u32>,
    tensor_parallel: Option<u32>,
    pipeline_parallel: Option<u32>,
    topology: Vec<TopologyRule>,
    hold_timeout_ms: Option<u64>,
    /// Its role.
    pub role: Option<Role>,
    /// Its number.
    pub index: Option<u32>,
}

/// Where the pod names its group.
pub(super) fn group<'a>(reading: &Reading<'a, '_>) -> Option<Said<'a>> {
    reading.either(POD_GROUP)
}

impl Ours {
    /// Reads everything but the group, also of a pod that has none: a text that makes no sense is told at once, not when
    /// the group is added.
    pub(super) fn read(reading: &mut Reading<'_, '_>) -> Self {
        let role = reading.either(ROLE).and_then(|said| reading.accept(said, role(said.text)));
        let topology = reading.either(TOPOLOGY).and_then(|said| reading.accept(said, levels::parse_rules(said.text)));
        let hold_timeout = reading.either(HOLD_TIMEOUT).and_then(|said| reading.accept(said, hold_timeout(said.text)));
        Self {
            min_member: reading.number(reading.either(MIN_MEMBER), MEMBERS),
            tensor_parallel: reading.number(reading.either(TENSOR_PARALLEL_SIZE), PARALLEL),
            pipeline_parallel: reading.number(reading.either(PIPELINE_PARALLEL_SIZE), PARALLEL),
            topology: topology.unwrap_or_default(),
            hold_timeout_ms: hold_timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
            role,
            index: reading.number(reading.either(INDEX), INDICES),
        }
    }

    /// Puts what is said in our words in place of what others say. Degrees of parallelism beside a role of ours are those
    /// of the role: prefill and decode may differ in them.
    /// Does it say how many members start together, or what they form?
    pub(super) fn is_of_sets(&self) -> bool {
        self.min_member.is_some() || self.tensor_parallel.is_some() || self.pipeline_parallel.is_some()
    }

    pub(super) fn overrule(self, terms: &mut Terms) {
        terms.min_member = self.min_member.or(terms.min_member);
        terms.hold_timeout_ms = self.hold_timeout_ms.or(terms.hold_timeout_ms);
        if !self.topology.is_empty() {
            terms.topology = self.topology;
        }
        match self.role {
            Some(role) if self.tensor_parallel.is_some() || self.pipeline_parallel.is_some() => {
                let of_role = terms.roles.entry(role).or_default();
                of_role.tensor_parallel = self.tensor_parallel.or(of_role.tensor_parallel);
                of_role.pipeline_parallel = self.pipeline_parallel.or(of_role.pipeline_parallel);
            }
            _ => {
                terms.tensor_parallel = self.tensor_parallel.or(terms.tensor_parallel);
                terms.pipeline_parallel = self.pipeline_parallel.or(terms.pipeline_parallel);
            }
        }
    }
}

fn role(text: &str) -> Result<Role, String> {
    check_name(text).map(|()| text.into())
}

fn hold_timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text.trim()).ok().filter(|timeout| HOLD_TIMEOUTS.contains(timeout));
    timeout.ok_or_else(|| format!("{text:?} is no time from 1s to 7days, such as 90s or 10m"))
}
