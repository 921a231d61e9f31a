//! Why a pod was placed where it was, in one line.

use std::collections::BTreeMap;

use testudo_core::engine::{Offered, Snapshot, Stance};
use testudo_core::model::pod::Pod;
use testudo_core::placement::{Criterion, Rank, deciding};

use crate::kube_scheduler::scheduler::{Choice, Scheduler};

/// Says why, from the state in which the choice was made.
pub fn explain(snapshot: &Snapshot, pod: &Pod, scheduler: &Scheduler, choice: &Choice) -> String {
    let chosen = scheduler.name(choice.node);
    let elsewhere = choice.feasible.iter().filter(|node| **node != choice.node);
    let elsewhere: Vec<&str> = elsewhere.map(|node| scheduler.name(*node)).collect();
    let others = elsewhere.len();
    let merit = match snapshot.stance(pod) {
        _ if others == 0 => "the only node that fits".to_owned(),
        Stance::Placed => merit(snapshot, pod, chosen, &elsewhere),
        Stance::Unconcerned if spares_accelerators(snapshot, chosen, &elsewhere) => {
            "GPU nodes are left to GPU pods".to_owned()
        }
        Stance::Unconcerned | Stance::Excluded => "kube-scheduler's own choice".to_owned(),
    };
    let fit =
        (others > 0).then(|| format!("{others} other{} fit{}", plural(others), if others == 1 { "s" } else { "" }));
    let refused = refusals(&choice.refused);
    [Some(merit), fit, refused].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// What put the node before the next best that is not its equal.
fn merit(snapshot: &Snapshot, pod: &Pod, chosen: &str, elsewhere: &[&str]) -> String {
    let judgement = snapshot.judge(pod);
    let rank_of = |name: &str| judgement.of(Offered::Named(name)).rank();
    let Some(best) = rank_of(chosen) else { return "not seen by testudo".to_owned() };
    let others: Vec<Rank> = elsewhere.iter().filter_map(|name| rank_of(name)).collect();
    let equals = others.iter().filter(|other| **other == best).count();
    let next = others.iter().filter(|other| other.packed() > best.packed()).min_by_key(|other| other.packed());
    match next.map(|next| deciding(&best, next)) {
        Some(Criterion::Linked) => format!("{} linked with each other", devices(pod)),
        Some(criterion) if equals == 0 => criterion.to_string(),
        Some(criterion) => format!("{criterion}, as on {equals} more"),
        None => "all that fit are equal, first by name".to_owned(),
    }
}

fn devices(pod: &Pod) -> String {
    let count = pod.demand.devices();
    format!("{count} devices")
}

fn spares_accelerators(snapshot: &Snapshot, chosen: &str, elsewhere: &[&str]) -> bool {
    !snapshot.has_accelerators(chosen) && elsewhere.iter().any(|name| snapshot.has_accelerators(name))
}

/// The refusals, most frequent first.
fn refusals(refused: &BTreeMap<String, usize>) -> Option<String> {
    let mut by_text: BTreeMap<&str, usize> = BTreeMap::new();
    for (text, count) in refused {
        *by_text.entry(brief(text)).or_default() += count;
    }
    let total: usize = by_text.values().sum();
    let mut reasons: Vec<(&str, usize)> = by_text.into_iter().collect();
    reasons.sort_by_key(|(text, count)| (std::cmp::Reverse(*count), *text));
    let texts: Vec<String> = reasons.iter().map(|(text, count)| format!("{count} {text}")).collect();
    (total > 0).then(|| format!("{total} refused: {}", texts.join(", ")))
}

/// A refusal without what stands elsewhere in the line: what the pod asks for.
fn brief(text: &str) -> &str {
    let named = |from: &str| text.strip_prefix(from);
    if let Some(rest) = named("needs ") {
        return rest.split_once(", ").map_or(text, |(_, rest)| rest);
    }
    match text {
        "node(s) didn't match Pod's node affinity/selector" => "not selected",
        "node(s) were unschedulable" => "tainted or cordoned",
        _ if named("node(s) had untolerated taint ").is_some() => "tainted or cordoned",
        "Insufficient cpu" => "short of CPU",
        "Insufficient memory" => "short of memory",
        _ => text,
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_what_they_say() {
        let refused = [
            ("needs 8 nvidia.com/gpu, too few are free", 10),
            ("needs 8 nvidia.com/gpu, node has none", 2),
            ("node(s) didn't match Pod's node affinity/selector", 3),
            ("node(s) had untolerated taint {nvidia.com/gpu: }", 3),
            ("node(s) were unschedulable", 1),
            ("Insufficient cpu", 1),
        ];
        let refused = refused.map(|(text, count)| (text.to_owned(), count)).into();
        let expected = "20 refused: 10 too few are free, 4 tainted or cordoned, 3 not selected, 2 node has none, \
                        1 short of CPU";
        assert_eq!(refusals(&refused).as_deref(), Some(expected));
        assert_eq!(refusals(&BTreeMap::new()), None);
    }
}
