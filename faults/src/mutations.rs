//! Bugs made on purpose, to show that the simulation finds such.
//!
//! Each replaces one piece of testudo's source by another that asks [`SWITCH`] whether it is the one that is tried: so all of
//! them are built once, into a copy of the source, and nothing of it is in what is shipped. A piece that is not found exactly
//! once any more is an error: the list has to follow the code.

use std::fs;
use std::io;
use std::path::Path;

use crate::invariants::Rule;

/// The environment variable that says which bug is there.
pub const SWITCH: &str = "TESTUDO_MUTATION";

/// What is added to the core of the copy.
const ASKING: &str = r#"
/// Is this the bug that is tried?
pub fn mutant(name: &str) -> bool {
    static TRIED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    TRIED.get_or_init(|| std::env::var("TESTUDO_MUTATION").ok()).as_deref() == Some(name)
}
"#;

/// A bug.
#[derive(Debug)]
pub struct Mutation {
    /// Its name.
    pub name: &'static str,
    /// The file, from the root of the repository.
    pub file: &'static str,
    /// What stands there.
    pub find: &'static str,
    /// What stands there instead.
    pub replace: &'static str,
    /// The rules by which it may be found.
    pub breaks: &'static [Rule],
}

/// All of them.
pub const ALL: &[Mutation] = &[
    Mutation {
        name: "barrier-lets-all-but-one-through",
        file: "src/core/engine/gangs/batch.rs",
        find: "self.places.values().all(|place| place.pod.is_none() || place.has_arrived)",
        replace: "let missing = self.places.values().filter(|it| it.pod.is_some() && !it.has_arrived).count();
        missing == 0 || (crate::mutant(\"barrier-lets-all-but-one-through\") && missing == 1 && self.places.len() > 1)",
        breaks: &[Rule::GangWhole],
    },
    Mutation {
        name: "a-part-of-the-places-is-enough",
        file: "src/core/engine/gangs/planning.rs",
        find: "                batch.places.keys().for_each(|uid| cluster.release(uid));\n",
        replace: "                if crate::mutant(\"a-part-of-the-places-is-enough\") {
                    continue;
                }
                batch.places.keys().for_each(|uid| cluster.release(uid));\n",
        breaks: &[Rule::GangWhole, Rule::Placed],
    },
    Mutation {
        name: "bind-without-looking-at-the-ledger",
        file: "src/core/engine/mod.rs",
        find: "        if self.policy.stance(pod) == Stance::Placed {",
        replace: "        if !crate::mutant(\"bind-without-looking-at-the-ledger\") && self.policy.stance(pod) == Stance::Placed {",
        breaks: &[Rule::NodeKept, Rule::QuotaKept],
    },
    Mutation {
        name: "in-doubt-counts-as-refused",
        file: "src/host/binding.rs",
        find: "                self.metrics.bound(\"unknown\");",
        replace: "                if testudo_core::mutant(\"in-doubt-counts-as-refused\") {
                    engine.roll_back(&pod.uid);
                }
                self.metrics.bound(\"unknown\");",
        breaks: &[Rule::NodeKept, Rule::GangWhole],
    },
    Mutation {
        name: "devices-in-a-plan-are-free-for-others",
        file: "src/core/engine/claims/mod.rs",
        find: "    for holding in plan.map(|plan| plan.holdings.as_slice()).unwrap_or_default() {",
        replace: "    let plan = plan.filter(|_| !crate::mutant(\"devices-in-a-plan-are-free-for-others\"));
    for holding in plan.map(|plan| plan.holdings.as_slice()).unwrap_or_default() {",
        breaks: &[Rule::DeviceOnce, Rule::CounterKept],
    },
    Mutation {
        name: "claims-are-given-without-the-finalizer",
        file: "src/k8s/claims.rs",
        find: "                \"finalizers\": [FINALIZER],",
        replace: "                \"finalizers\": vec![FINALIZER; usize::from(!testudo_core::mutant(\"claims-are-given-without-the-finalizer\"))],",
        breaks: &[Rule::InUse],
    },
    Mutation {
        name: "the-reaper-never-runs",
        file: "src/core/engine/claims/plan.rs",
        find: "self.unused.iter().filter(is_due)",
        replace: "self.unused.iter().filter(|it| !crate::mutant(\"the-reaper-never-runs\") && is_due(it))",
        breaks: &[Rule::Clean],
    },
    Mutation {
        name: "the-fence-lets-everything-through",
        file: "src/k8s/fence.rs",
        find: "            if !is_harmless && !may_write() {",
        replace: "            if !testudo_core::mutant(\"the-fence-lets-everything-through\") && !is_harmless && !may_write() {",
        breaks: &[Rule::DeviceOnce, Rule::NodeKept, Rule::GangWhole, Rule::InUse, Rule::QuotaKept],
    },
    Mutation {
        name: "assumptions-never-expire",
        file: "src/core/engine/mod.rs",
        find: "        let due = |standing| matches!(",
        replace: "        let due = |standing| !crate::mutant(\"assumptions-never-expire\") && matches!(",
        breaks: &[Rule::Ledger, Rule::Placed],
    },
    Mutation {
        name: "a-deleted-pod-is-not-forgotten",
        file: "src/core/engine/mod.rs",
        find: "                self.cluster.remove_pod(&uid);",
        replace: "                if !crate::mutant(\"a-deleted-pod-is-not-forgotten\") {
                    self.cluster.remove_pod(&uid);
                }",
        breaks: &[Rule::Ledger, Rule::Placed],
    },
    Mutation {
        name: "what-a-list-does-not-name-stays",
        file: "src/core/engine/mod.rs",
        find: "                self.cluster.retain_pods(&uids, now_ms + ASSUME_TTL_MS);",
        replace: "                if !crate::mutant(\"what-a-list-does-not-name-stays\") {
                    self.cluster.retain_pods(&uids, now_ms + ASSUME_TTL_MS);
                }",
        breaks: &[Rule::Ledger, Rule::Placed],
    },
    Mutation {
        name: "quotas-are-not-counted-at-bind",
        file: "src/core/engine/mod.rs",
        find: "if quotas.of(&pod.key.namespace).is_none() {",
        replace: "if quotas.of(&pod.key.namespace).is_none() || crate::mutant(\"quotas-are-not-counted-at-bind\") {",
        breaks: &[Rule::QuotaKept],
    },
    Mutation {
        name: "gangs-are-not-shown-to-the-autoscaler",
        file: "src/core/engine/gangs/shortfall.rs",
        find: "        if !is_short {\n            return vec![];",
        replace: "        if !is_short || crate::mutant(\"gangs-are-not-shown-to-the-autoscaler\") {\n            return vec![];",
        breaks: &[Rule::Placed],
    },
    Mutation {
        name: "nodes-are-kept-from-the-autoscaler-for-ever",
        file: "src/core/engine/gangs/protection.rs",
        find: "let left = self.shown.iter().filter(|node| !needed.contains_key(*node));",
        replace: "let is_kept = crate::mutant(\"nodes-are-kept-from-the-autoscaler-for-ever\");
        let left = self.shown.iter().filter(|node| !is_kept && !needed.contains_key(*node));",
        breaks: &[Rule::Clean],
    },
    Mutation {
        name: "nobody-is-woken-when-places-come-free",
        file: "src/core/engine/gangs/steering.rs",
        find: "        if !std::mem::take(&mut self.freed_places) {",
        replace: "        if crate::mutant(\"nobody-is-woken-when-places-come-free\") || !std::mem::take(&mut self.freed_places) {",
        breaks: &[Rule::Placed],
    },
    Mutation {
        name: "who-is-over-quota-for-long-is-looked-at-for-ever",
        file: "src/core/engine/gangs/planning.rs",
        find: "        if let Some(kept) = self.kept.get_mut(key).filter(|kept| kept.is_starving(now_ms)) {",
        replace: "        let is_noted = !crate::mutant(\"who-is-over-quota-for-long-is-looked-at-for-ever\");
        if let Some(kept) = self.kept.get_mut(key).filter(|kept| is_noted && kept.is_starving(now_ms)) {",
        breaks: &[Rule::Ends],
    },
    Mutation {
        name: "nodes-are-kept-free-for-ever",
        file: "src/core/engine/gangs/starvation.rs",
        find: "        let is_due = |until_ms| !still_waits || now_ms >= until_ms || allowed.is_none();",
        replace:
            "        let is_over = |until_ms| now_ms >= until_ms && !crate::mutant(\"nodes-are-kept-free-for-ever\");
        let is_due = |until_ms| !still_waits || is_over(until_ms) || allowed.is_none();",
        breaks: &[Rule::Placed, Rule::Clean],
    },
    Mutation {
        name: "an-earlier-generation-counts-as-a-part-that-runs",
        file: "src/core/engine/gangs/roster.rs",
        find: "    let runs = alive.iter().any(|pod| matches!(pod.stage, Stage::Bound(_)));",
        replace: "    let is_mixed = crate::mutant(\"an-earlier-generation-counts-as-a-part-that-runs\") && has_run;
    let runs = is_mixed || alive.iter().any(|pod| matches!(pod.stage, Stage::Bound(_)));",
        breaks: &[Rule::GangWhole],
    },
    Mutation {
        name: "members-of-one-role-wait-for-those-of-another",
        file: "src/core/engine/gangs/extras.rs",
        find: "            if exist == size && !is_passed_over(&next.role) {",
        replace: "            let is_next = crate::mutant(\"members-of-one-role-wait-for-those-of-another\");
            if exist == size && (is_next || !is_passed_over(&next.role)) {",
        breaks: &[Rule::Placed],
    },
    Mutation {
        name: "the-watch-of-pods-drops-deletions",
        file: "src/k8s/watch.rs",
        find: "                if let Some(id) = T::id(&watched.meta) {",
        replace: "                if let Some(id) = T::id(&watched.meta)
                    && !(testudo_core::mutant(\"the-watch-of-pods-drops-deletions\") && self.kind() == \"Pod\")
                {",
        breaks: &[Rule::Ledger, Rule::Placed],
    },
];

/// The text with the bug in it.
///
/// # Errors
/// When what it replaces does not stand there exactly once.
pub fn mutated(text: &str, mutation: &Mutation) -> Result<String, String> {
    match text.matches(mutation.find).count() {
        1 => Ok(text.replacen(mutation.find, mutation.replace, 1)),
        count => Err(format!("{}: in {} stands {count} times: {}", mutation.name, mutation.file, mutation.find)),
    }
}

/// Puts all bugs into a copy of the source at `root`.
///
/// # Errors
/// When a file cannot be read or written, or does not have in it what is to be replaced.
pub fn put_into(root: &Path) -> io::Result<()> {
    for mutation in ALL {
        let path = root.join(mutation.file);
        let text = mutated(&fs::read_to_string(&path)?, mutation).map_err(io::Error::other)?;
        fs::write(&path, text)?;
    }
    let core = root.join("src/core/lib.rs");
    let text = fs::read_to_string(&core)? + ASKING;
    fs::write(core, text)
}
