//! A pod, explained: where it fits, what stands against it elsewhere, who would have to go, and what to do.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use testudo_core::engine::{GangStage, Profiles, Stance};
use testudo_core::model::accelerator::AcceleratorResource;
use testudo_core::model::pod::{Pod, Stage};
use testudo_core::placement::Reason;

use super::super::output::table;
use super::pod_claims::{PodClaim, claims_of};
use crate::config::GangsSection;
use crate::explain::{self, Leaver, Miss, PlaceLine};
use crate::host::Host;

/// Nodes of the nearest misses that are shown.
const NEAREST: usize = 3;

/// Where a pod fits, and what stands against it elsewhere.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodExplanation {
    pod: String,
    /// In a word.
    verdict: Fate,
    /// In a sentence.
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_to: Option<String>,
    treated_as: String,
    /// The scheduler that it names.
    scheduler: String,
    requests: BTreeMap<String, i64>,
    priority: i32,
    /// What places are chosen for.
    profile: String,
    /// Its gang, as NAMESPACE/NAME.
    #[serde(skip_serializing_if = "Option::is_none")]
    gang: Option<String>,
    /// The claims that it uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    claims: Vec<PodClaim>,
    /// What could be done, the most promising first; empty where nothing need be.
    what_to_do: Vec<String>,
    nodes: Vec<PlaceLine>,
    /// What stands against each node on which it does not fit, the nearest miss first.
    misses: Vec<MissLine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Fate {
    /// It is on its node.
    Bound,
    /// It has ended.
    Finished,
    /// There is a place for it.
    Fits,
    /// It waits for its gang.
    WaitsForGang,
    /// Its namespace would have more than it may.
    OverQuota,
    /// It waits for devices that no node can give to a claim of it.
    WaitsForClaims,
    /// There is no place for it.
    FitsNowhere,
    /// What it says makes no sense, so it is not placed.
    NotUnderstood,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MissLine {
    node: String,
    obstacles: Vec<ObstacleLine>,
    /// Labels that the pod selects and the node lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_labels: Vec<String>,
    /// Who would have to go for the pod to fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    leave: Option<Vec<LeaverLine>>,
    what_to_do: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ObstacleLine {
    kind: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<i64>,
    /// What is free, or what there is at all where that is too little.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<i64>,
    /// `key=value:effect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    taint: Option<String>,
}

/// A pod that would have to go.
#[derive(Debug, Serialize)]
pub struct LeaverLine {
    pod: String,
    priority: i32,
}

impl PodExplanation {
    /// Explains a pod.
    pub fn new(host: &Host, pod: &Pod) -> Self {
        let snapshot = host.snapshot();
        let nodes = explain::places(&snapshot, pod);
        let pods = host.pods();
        let misses = explain::misses(&snapshot, pod, pods.iter().map(AsRef::as_ref));
        let gang = pod.membership.as_ref().map(|membership| &membership.gang);
        let waiting = gang.and_then(|gang| {
            let views = host.gangs_named(&gang.namespace, &gang.name);
            views.into_iter().find(|view| view.key == *gang && view.stage < GangStage::Planned)
        });
        let problems = host.pod_problems(&pod.uid);
        let claims = claims_of(host, pod);
        let held_up: Vec<&PodClaim> = claims.iter().filter(|claim| claim.holds_up).collect();
        let fitting = nodes.iter().filter(|line| line.fits).count();
        let bound_to = if let Stage::Bound(node) = &pod.stage { Some(node.to_string()) } else { None };
        let over = snapshot.over_quota(pod).filter(|_| snapshot.stance(pod) == Stance::Placed);
        let (verdict, reason) = match (&pod.stage, &waiting) {
            (Stage::Bound(node), _) => (Fate::Bound, format!("is on node {node}")),
            (Stage::Finished(_), _) => (Fate::Finished, "has ended".to_owned()),
            _ if is_nonsense(pod) => (Fate::NotUnderstood, problems.join("; ")),
            (_, Some(gang)) => {
                let why = gang.why.as_deref().unwrap_or("it has no places yet");
                (Fate::WaitsForGang, format!("gang {}: {why}", gang.key))
            }
            _ => match &over {
                Some(over) => (Fate::OverQuota, format!("{over}, {} are in use", over.in_use())),
                None if fitting > 0 && !held_up.is_empty() => {
                    let said: Vec<String> =
                        held_up.iter().map(|claim| format!("claim {} {}", claim.claim, claim.state)).collect();
                    (Fate::WaitsForClaims, said.join("; "))
                }
                None if fitting > 0 => (Fate::Fits, format!("fits on {fitting} of {} nodes", nodes.len())),
                None => (Fate::FitsNowhere, summary(&nodes)),
            },
        };
        let what_to_do = match verdict {
            Fate::Bound | Fate::Finished => vec![],
            Fate::Fits if snapshot.stance(pod) == Stance::Placed => ask_testudo(pod).into_iter().collect(),
            Fate::Fits => vec![],
            Fate::NotUnderstood => vec!["mend what cannot be understood, and make the pod again".to_owned()],
            Fate::WaitsForGang => {
                let gang = gang.map(ToString::to_string).unwrap_or_default();
                vec![format!("ask for its gang: testudo explain gang {gang}")]
            }
            Fate::OverQuota => over.iter().map(explain::over_quota).collect(),
            Fate::WaitsForClaims => {
                let ask = |claim: &&PodClaim| format!("ask for its claim: testudo explain claim {}", claim.claim);
                held_up.iter().map(ask).collect()
            }
            Fate::FitsNowhere if misses.is_empty() => vec!["add nodes".to_owned()],
            Fate::FitsNowhere => misses.first().map(explain::remedy).unwrap_or_default(),
        };
        Self {
            pod: pod.key.to_string(),
            verdict,
            reason,
            bound_to,
            treated_as: explain::treated_as(&snapshot, pod),
            scheduler: pod.scheduler.to_string(),
            requests: pod.demand.requests.iter().map(|(name, amount)| (name.to_string(), amount)).collect(),
            priority: pod.priority,
            profile: snapshot.profile(pod).name.to_string(),
            gang: gang.map(ToString::to_string),
            claims,
            what_to_do,
            nodes,
            misses: misses.iter().map(MissLine::new).collect(),
        }
    }

    /// Has it a place, or could it have one?
    pub fn has_place(&self) -> bool {
        match self.verdict {
            Fate::Bound => true,
            Fate::Fits | Fate::Finished => self.nodes.iter().any(|line| line.fits),
            Fate::WaitsForGang | Fate::WaitsForClaims | Fate::OverQuota | Fate::FitsNowhere | Fate::NotUnderstood => {
                false
            }
        }
    }

    /// Writes one screen, or the whole table.
    pub fn table(&self, out: &mut dyn Write, all_nodes: bool) -> std::io::Result<()> {
        let fitting = self.nodes.iter().filter(|line| line.fits).count();
        let is_accelerator = |name: &str| AcceleratorResource::parse(name).is_some();
        let asked = self.requests.iter().filter(|(name, _)| is_accelerator(name));
        let asked: Vec<String> = asked.map(|(name, count)| format!("{count} {name}")).collect();
        writeln!(out, "Pod {}: {}", self.pod, self.treated_as)?;
        if !asked.is_empty() {
            write!(out, "Asks for {}, scheduler {}, priority {}", asked.join(", "), self.scheduler, self.priority)?;
            match self.profile.as_str() {
                Profiles::DEFAULT => writeln!(out)?,
                profile => writeln!(out, ", profile {profile}")?,
            }
        }
        for claim in &self.claims {
            writeln!(out, "Claim {}: {}", claim.claim, claim.state)?;
        }
        match (&self.bound_to, self.verdict) {
            (Some(node), _) => {
                writeln!(out, "Is on node {node}; without it, it would fit on {fitting} of {} nodes", self.nodes.len())?
            }
            (None, Fate::WaitsForGang | Fate::WaitsForClaims | Fate::OverQuota) => {
                writeln!(out, "Waits: {}", self.reason)?;
            }
            // What it asks for is not known, so no more can be said of nodes.
            (None, Fate::NotUnderstood) => {
                writeln!(out, "Is not placed: {}", self.reason)?;
                return self.advice(out);
            }
            (None, _) => writeln!(out, "Fits on {fitting} of {} nodes", self.nodes.len())?,
        }
        let mut table = table();
        if all_nodes {
            table.set_header(["NODE", "PLACE", "REASON", "FREE", "THE BEST IS BETTER IN"]);
            for line in &self.nodes {
                table.add_row([
                    line.node.clone(),
                    line.place.map_or_else(|| "-".into(), |place| place.to_string()),
                    line.reason.clone().unwrap_or_else(|| "fits".into()),
                    line.free.map_or_else(String::new, |free| free.to_string()),
                    line.behind.clone().unwrap_or_default(),
                ]);
            }
        } else {
            table.set_header(["NODES", "VERDICT", "FOR EXAMPLE"]);
            for (verdict, nodes) in explain::by_verdict(&self.nodes) {
                table.add_row([nodes.len().to_string(), verdict.into(), nodes[..nodes.len().min(3)].join(", ")]);
            }
        }
        writeln!(out, "{table}")?;
        if self.verdict == Fate::FitsNowhere {
            self.nearest(out)?;
        }
        self.advice(out)
    }

    fn advice(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for (at, advice) in self.what_to_do.iter().enumerate() {
            writeln!(out, "{} {advice}", if at == 0 { "To do:" } else { "  and:" })?;
        }
        Ok(())
    }

    fn nearest(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if self.misses.is_empty() {
            return Ok(());
        }
        writeln!(out, "Nearest misses")?;
        let mut table = table();
        table.set_header(["NODE", "STANDS AGAINST IT", "WOULD HAVE TO GO"]);
        for miss in self.misses.iter().take(NEAREST) {
            let obstacles: Vec<String> = miss.obstacles.iter().map(ObstacleLine::short).collect();
            let leave: Vec<String> = miss.leave.iter().flatten().map(LeaverLine::text).collect();
            table.add_row([miss.node.clone(), obstacles.join("; "), leave.join(", ")]);
        }
        writeln!(out, "{table}")
    }
}

/// What to do about a pod that fits and may wait all the same, because its scheduler is not known to ask testudo.
fn ask_testudo(pod: &Pod) -> Option<String> {
    let known = GangsSection::default().scheduler_names;
    let first = known.first().filter(|_| !known.contains(&*pod.scheduler))?;
    let named = &pod.scheduler;
    Some(format!("if it waits all the same: it names {named}, which may never ask testudo; the chart's is {first}"))
}

/// A pod that cannot be understood asks for more pods than any node takes.
fn is_nonsense(pod: &Pod) -> bool {
    use testudo_core::model::resources::ResourceName;
    pod.demand.requests.get(ResourceName::PODS) == i64::MAX
}

/// What nodes say, and how many say it.
fn summary(nodes: &[PlaceLine]) -> String {
    if nodes.is_empty() {
        return "there are no nodes".to_owned();
    }
    let verdicts = explain::by_verdict(nodes).into_iter().map(|(verdict, nodes)| match nodes.len() {
        1 => format!("{verdict} (1 node)"),
        count => format!("{verdict} ({count} nodes)"),
    });
    verdicts.collect::<Vec<_>>().join("; ")
}

impl MissLine {
    fn new(miss: &Miss) -> Self {
        Self {
            node: miss.node.to_string(),
            obstacles: miss.obstacles.iter().map(ObstacleLine::new).collect(),
            missing_labels: miss.missing_labels.clone(),
            leave: miss.leave.as_ref().map(|leave| leave.iter().map(LeaverLine::new).collect()),
            what_to_do: explain::remedy(miss),
        }
    }
}

impl LeaverLine {
    /// A pod that would have to go.
    pub fn new(leaver: &Leaver) -> Self {
        Self { pod: leaver.pod.to_string(), priority: leaver.priority }
    }

    /// As it stands in a table.
    pub fn text(&self) -> String {
        format!("{} (priority {})", self.pod, self.priority)
    }
}

impl ObstacleLine {
    fn new(reason: &Reason) -> Self {
        let amounts = match reason {
            Reason::Absent { resource, requested } => Some((resource, *requested, Some(0))),
            Reason::TooLarge { resource, requested, allocatable, .. } => {
                Some((resource, *requested, Some(*allocatable)))
            }
            Reason::Insufficient { resource, requested, free } => Some((resource, *requested, Some(*free))),
            Reason::Scattered { resource, requested, largest } => Some((resource, *requested, Some(*largest))),
            Reason::UnevenShare { resource, requested } | Reason::NotASet { resource, requested, .. } => {
                Some((resource, *requested, None))
            }
            Reason::UnknownNode | Reason::Cordoned | Reason::Taint(_) | Reason::Affinity | Reason::OverQuota(_) => None,
        };
        Self {
            kind: reason.label(),
            text: reason.to_string(),
            resource: amounts.map(|(resource, ..)| resource.to_string()),
            requested: amounts.map(|(_, requested, _)| requested),
            available: amounts.and_then(|(.., available)| available),
            missing: amounts.and_then(|(_, requested, available)| Some(requested - available?)),
            taint: if let Reason::Taint(taint) = reason { Some(taint.to_string()) } else { None },
        }
    }

    /// As it stands in a table.
    fn short(&self) -> String {
        match (self.missing, self.available) {
            (Some(missing), Some(available)) if self.kind == "insufficient" => {
                let resource = self.resource.as_deref().unwrap_or_default();
                let amount = |count| explain::amount(&resource.into(), count);
                format!("{} {resource} missing, {} free", amount(missing), amount(available))
            }
            _ => self.text.clone(),
        }
    }
}
