//! Do pods that ask for accelerators go through testudo?

use std::collections::{BTreeMap, BTreeSet};

use testudo_core::engine::{PlacementPolicy, Stance};
use testudo_core::model::pod::Pod;

use super::{Finding, OptedIn, few};
use crate::config::Configuration;
use crate::k8s::manifests::Manifests;
use crate::k8s::pod;

const ABOUT: &str = "pods";

/// The label by which namespaces opt in, and its value.
pub const OPT_IN: (&str, &str) = ("testudo.dev/scheduling", "required");

pub fn findings(manifests: &Manifests, configuration: &Configuration, opted_in: Option<&OptedIn>) -> Vec<Finding> {
    let policy = configuration.policy(PlacementPolicy::default());
    let (mut ours, mut others): (usize, BTreeMap<(bool, String), BTreeSet<String>>) = (0, BTreeMap::new());
    for pod in manifests.pods.iter().map(|object| pod::decode(object).0) {
        let asks = pod.demand.wants_accelerators() || !pod.claims.is_empty();
        if !asks || pod.has_ended() || policy.stance(&pod) == Stance::Excluded {
            continue;
        }
        if policy.is_ours(&pod) {
            ours += 1;
        } else {
            let Pod { key, scheduler, .. } = pod;
            let has_opted_in = opted_in.is_some_and(|namespaces| namespaces.contains(&key.namespace));
            others.entry((has_opted_in, scheduler.to_string())).or_default().insert(key.to_string());
        }
    }
    let names = few(&configuration.gangs.scheduler_names);
    let mut findings =
        vec![Finding::ok(ABOUT, format!("{ours} pods that ask for accelerators are of scheduler {names}"))];
    for ((has_opted_in, scheduler), pods) in others {
        let what =
            format!("{} pods that ask for accelerators are of scheduler {scheduler}: {}", pods.len(), few(&pods));
        findings.push(match has_opted_in {
            true => Finding::failed(
                ABOUT,
                format!("{what}; their namespaces have opted in"),
                "create them anew; the policies oneScheduler and gangs keep such pods out",
            ),
            false => Finding::warning(
                ABOUT,
                what,
                format!("set spec.schedulerName, or label their namespaces {}={}: two schedulers on the same GPUs get in each \
                         other's way", OPT_IN.0, OPT_IN.1),
            ),
        });
    }
    if let Some(namespaces) = opted_in {
        findings.push(match namespaces.is_empty() {
            true => Finding::warning(
                "namespaces",
                "none has opted in",
                format!("kubectl label namespace NAMESPACE {}={}", OPT_IN.0, OPT_IN.1),
            ),
            false => Finding::ok("namespaces", format!("opted in: {}", few(namespaces))),
        });
    }
    findings
}
