//! Whether two answers to a case agree.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::case::{Case, is_pending, items, text};
use crate::checker;
use crate::oracle::{AllocatedClaim, Answer, Selectors};
use crate::ours::Ours;

/// How answers may agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// Both say that it fits.
    Fits,
    /// Both say that it does not.
    NoFit,
    /// Both say that the question is wrong.
    Error,
    /// Upstream ran out of time.
    Unknown,
    /// Upstream found nothing where our allocation is legal, or did not come as far as what is wrong, for the reason of
    /// [`forgets_lists`].
    UpstreamForgets,
}

/// How they disagree.
#[derive(Debug, Clone)]
pub struct Disagreement {
    /// Which kind it is: a shrunk case must be of the same.
    pub kind: String,
    /// What was found.
    pub text: String,
}

/// Compares. Allocations may differ, since ours chooses among those that are possible, but each must be legal.
pub fn compare(
    case: &Case,
    upstream: &Answer,
    ours: &Ours,
    selectors: &mut Selectors,
) -> Result<Agreement, Disagreement> {
    let theirs = match upstream.outcome.as_str() {
        // Upstream does not expect what validation keeps from it.
        "panic" => "error",
        other => other,
    };
    let disagree = |kind: String, text: String| Err(Disagreement { kind, text });
    if let Ours::Fits { node, claims } = ours {
        if *node != case.node {
            return disagree("wrong node".into(), format!("allocated for {node}"));
        }
        if let Err(fault) = checker::check(case, claims, selectors) {
            return disagree(format!("ours is illegal ({})", fault.rule), fault.to_string());
        }
    }
    match (theirs, ours.name()) {
        ("timeout", "fits" | "no-fit" | "gave-up" | "error") => Ok(Agreement::Unknown),
        ("fits", "fits") => {
            let Ours::Fits { claims, .. } = ours else { unreachable!("it fits") };
            let (first, second) = (alternatives(case, &upstream.claims), alternatives(case, claims));
            if second > first {
                return disagree("worse alternatives".into(), format!("theirs {first:?}, ours {second:?}"));
            }
            Ok(Agreement::Fits)
        }
        ("no-fit", "no-fit") => Ok(Agreement::NoFit),
        ("error", "error") => Ok(Agreement::Error),
        ("no-fit", "fits" | "error") if forgets_lists(case) => Ok(Agreement::UpstreamForgets),
        (theirs, ours_name) => disagree(
            format!("theirs {theirs}, ours {ours_name}"),
            format!("theirs: {}, ours: {}", upstream.message, ours.why()),
        ),
    }
}

/// Whether upstream's matchAttribute may miss what fits: going back in its search, it forgets a device, but keeps what
/// the device's list of values took away from what all have in common.
fn forgets_lists(case: &Case) -> bool {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let is_list = |value: &Value| value.as_object().is_some_and(|value| value.keys().any(|kind| kind.ends_with('s')));
    let devices = case.of("ResourceSlice").flat_map(|slice| items(&slice["spec"]["devices"]));
    let attributes = devices.filter_map(|device| device["attributes"].as_object()).flatten();
    let lists: BTreeSet<String> = attributes.filter(|(_, value)| is_list(value)).map(|(name, _)| last(name)).collect();
    let pending = case.of("ResourceClaim").filter(|claim| is_pending(claim));
    let mut constraints = pending.flat_map(|claim| items(&claim["spec"]["devices"]["constraints"]));
    constraints.any(|constraint| lists.contains(&last(text(&constraint["matchAttribute"]))))
}

/// Which alternative was taken for each request that has some, by its place. Upstream tries all that come later with its
/// first devices for the earlier ones, before other devices: ours must find what is as good, and may find better.
fn alternatives(case: &Case, allocated: &[AllocatedClaim]) -> Vec<usize> {
    let mut taken = vec![];
    let pending = case.of("ResourceClaim").filter(|claim| is_pending(claim));
    for (claim, given) in pending.zip(allocated) {
        for request in items(&claim["spec"]["devices"]["requests"]) {
            let results = items(&given.allocation["devices"]["results"]);
            let place = items(&request["firstAvailable"]).iter().position(|alternative| {
                let name = format!("{}/{}", text(&request["name"]), text(&alternative["name"]));
                results.iter().any(|result| result["request"] == name)
            });
            taken.extend(place);
        }
    }
    taken
}
