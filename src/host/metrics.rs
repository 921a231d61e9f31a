//! What the host counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use testudo_core::engine::{ClaimNewsKind, ClaimOutcome, NewsKind};
use tokio::time::Instant;

/// A verdict of filter: `fits`, or the short name of the reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabels {
    pub verdict: &'static str,
}

/// What became of a binding, or of something else that has outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    pub outcome: &'static str,
}

/// What was written on a pod, and what became of that.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WriteLabels {
    pub write: &'static str,
    pub outcome: &'static str,
}

/// What became of gangs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GangLabels {
    pub outcome: &'static str,
}

/// How long plans take, by outcome.
#[derive(Debug)]
pub struct Plans(Family<OutcomeLabels, Histogram, fn() -> Histogram>);

impl Default for Plans {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(PLAN_SECONDS)))
    }
}

/// Bounds of the buckets: from a small gang on few nodes to a search that is given up.
const PLAN_SECONDS: [f64; 11] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// What the host counts.
#[derive(Debug, Default)]
pub struct Metrics {
    pub filtered_nodes: Family<VerdictLabels, Counter>,
    pub bindings: Family<OutcomeLabels, Counter>,
    pub assumptions_expired: Counter,
    pub object_problems: Counter,
    pub observed_refusals: Counter,
    pub preempt_candidates: Family<OutcomeLabels, Counter>,
    pub pod_writes: Family<WriteLabels, Counter>,
    pub plans: Plans,
    pub gangs: Family<GangLabels, Counter>,
    pub claim_writes: Family<OutcomeLabels, Counter>,
    pub claim_news: Family<OutcomeLabels, Counter>,
    pub policy_reloads: Family<OutcomeLabels, Counter>,
    pub policy_refused: Gauge,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self {
            filtered_nodes,
            bindings,
            assumptions_expired,
            object_problems,
            observed_refusals,
            preempt_candidates,
            pod_writes,
            plans: Plans(plans),
            gangs,
            claim_writes,
            claim_news,
            policy_reloads,
            policy_refused,
        } = &metrics;
        registry.register(
            "testudo_filter_verdicts",
            "Nodes judged by filter for pods that ask for accelerators, by verdict",
            filtered_nodes.clone(),
        );
        registry.register("testudo_bindings", "Bindings asked for by kube-scheduler, by outcome", bindings.clone());
        registry.register(
            "testudo_assumptions_expired",
            "Assumed placements that were dropped because nothing confirmed them",
            assumptions_expired.clone(),
        );
        registry.register(
            "testudo_object_problems",
            "Things about nodes and pods that could not be understood, counted once per object and problem",
            object_problems.clone(),
        );
        registry.register(
            "testudo_observed_refusals",
            "Nodes that mode observe let pass and mode enforce would have refused",
            observed_refusals.clone(),
        );
        registry.register("testudo_claim_writes", "Writes of allocations of claims, by outcome", claim_writes.clone());
        registry.register(
            "testudo_claim_events",
            "Devices given twice, and devices taken back from claims, by what happened",
            claim_news.clone(),
        );
        registry.register(
            "testudo_preempt_candidates",
            "Nodes that kube-scheduler would evict pods from, by whether that was found to help",
            preempt_candidates.clone(),
        );
        registry.register(
            "testudo_pod_writes",
            "Writes on pods: pointing to a place, or to one ahead of its turn (hint), taking that back, waking, evicting",
            pod_writes.clone(),
        );
        registry.register(
            "testudo_plan_duration_seconds",
            "Time to look for places for a gang, by what came of it",
            plans.clone(),
        );
        registry.register("testudo_gang_outcomes", "What was found out about gangs, by outcome", gangs.clone());
        registry.register(
            "testudo_policy_reloads",
            "Changes of the policy file that were taken up, or found broken and left alone",
            policy_reloads.clone(),
        );
        registry.register(
            "testudo_policy_refused",
            "1 while the policy file cannot be used and an older policy is in force",
            policy_refused.clone(),
        );
        for outcome in ["ok", "failed"] {
            drop(policy_reloads.get_or_create(&OutcomeLabels { outcome }));
        }
        // At 0 from the start: what appears with its first count shows no increase.
        drop(filtered_nodes.get_or_create(&VerdictLabels { verdict: "fits" }));
        drop(bindings.get_or_create(&OutcomeLabels { outcome: "bound" }));
        drop(preempt_candidates.get_or_create(&OutcomeLabels { outcome: "kept" }));
        drop(pod_writes.get_or_create(&WriteLabels { write: "steer", outcome: "done" }));
        drop(plans.get_or_create(&OutcomeLabels { outcome: "places" }));
        drop(gangs.get_or_create(&GangLabels { outcome: "started" }));
        drop(claim_writes.get_or_create(&OutcomeLabels { outcome: "allocated" }));
        drop(claim_news.get_or_create(&OutcomeLabels { outcome: "device_given_twice" }));
        metrics
    }

    /// Counts what preempt kept of the candidates.
    pub fn preempted(&self, offered: usize, kept: usize) {
        for (outcome, count) in [("kept", kept), ("dropped", offered - kept)] {
            self.preempt_candidates.get_or_create(&OutcomeLabels { outcome }).inc_by(count as u64);
        }
    }

    /// Counts a write on a pod.
    pub fn pod_written(&self, write: &'static str, outcome: &'static str) {
        self.pod_writes.get_or_create(&WriteLabels { write, outcome }).inc();
    }

    /// Notes that places for a gang were looked for since `begun`.
    pub fn planned(&self, outcome: &'static str, begun: Instant) {
        let Plans(plans) = &self.plans;
        plans.get_or_create(&OutcomeLabels { outcome }).observe(begun.elapsed().as_secs_f64());
    }

    /// Counts what became of a change of the policy.
    pub fn policy_read(&self, is_taken_up: bool) {
        let outcome = if is_taken_up { "ok" } else { "failed" };
        self.policy_reloads.get_or_create(&OutcomeLabels { outcome }).inc();
        self.policy_refused.set(i64::from(!is_taken_up));
    }

    /// Counts what became of a gang.
    pub fn gang_news(&self, kind: NewsKind) {
        let outcome = match kind {
            NewsKind::Invalid => "invalid",
            NewsKind::Waiting => "waiting",
            NewsKind::Planned => "planned",
            NewsKind::Failed => "plan_failed",
            NewsKind::Started => "started",
            NewsKind::Regrouping => "regrouping",
            NewsKind::TimedOut => "hold_timed_out",
            NewsKind::ShortOfNodes => "short_of_nodes",
            NewsKind::NotAutoscalable => "not_autoscalable",
        };
        self.gangs.get_or_create(&GangLabels { outcome }).inc();
    }

    /// Counts the outcome of a write on a claim.
    pub fn claim_written(&self, outcome: &ClaimOutcome) {
        let outcome = match outcome {
            ClaimOutcome::Allocated { .. } => "allocated",
            ClaimOutcome::Refused { .. } => "refused",
            ClaimOutcome::Released { .. } => "released",
            ClaimOutcome::Reserved { .. } => "reserved",
            ClaimOutcome::Unknown => "unknown",
        };
        self.claim_writes.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts what became of a claim.
    pub fn claim_news(&self, kind: ClaimNewsKind) {
        let outcome = match kind {
            ClaimNewsKind::GivenTwice => "device_given_twice",
            ClaimNewsKind::Released => "released",
        };
        self.claim_news.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts the outcome of a binding.
    pub fn bound(&self, outcome: &'static str) {
        self.bindings.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts the verdicts of one filter call.
    pub fn filtered(&self, counts: &[(&'static str, u64)]) {
        for (verdict, count) in counts {
            self.filtered_nodes.get_or_create(&VerdictLabels { verdict }).inc_by(*count);
        }
    }
}
