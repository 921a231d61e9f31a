//! A gang, explained: how far it has come, why not further, how near it is, and where its members are.

use std::io::Write;
use std::sync::Arc;

use serde::Serialize;
use testudo_core::engine::{GangStage, GangView};
use testudo_core::model::pod::{Pod, PodKey};

use super::super::output::table;
use super::pod::LeaverLine;
use crate::explain::{self, DomainMiss, Leaver, MemberLine, Miss};
use crate::host::Host;

/// Domains that are shown.
const NEAREST: usize = 5;

/// A gang, explained.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GangExplanation {
    gang: String,
    written_as: &'static str,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    priority: i32,
    members: Vec<MemberLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    avoided_nodes: Vec<String>,
    failed_plans: u32,
    /// What each domain could take of the members that have no place: those with the most places first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    domains: Vec<DomainMiss>,
    /// Who of no higher priority would have to end for all to fit, as few as could be found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leave: Vec<LeaverLine>,
    /// What could be done; empty where nothing need be.
    what_to_do: Vec<String>,
    #[serde(skip)]
    has_places: bool,
}

impl GangExplanation {
    /// Explains a gang.
    pub fn new(view: &GangView, host: &Host) -> Self {
        let is_waiting = view.stage == GangStage::Waiting;
        let members = explain::waiting_members(&view.key, &host.pods());
        let domains = if is_waiting { explain::domains(&host.snapshot(), &members) } else { vec![] };
        let leave = if is_waiting { who_must_end(view, host) } else { vec![] };
        Self {
            gang: view.key.to_string(),
            written_as: view.key.dialect.group_kind(),
            stage: explain::stage(view.stage),
            why: view.why.as_ref().map(ToString::to_string),
            priority: view.priority,
            members: view.members.iter().map(MemberLine::of).collect(),
            avoided_nodes: view.avoided.iter().map(ToString::to_string).collect(),
            failed_plans: view.failures,
            what_to_do: what_to_do(view, &members, host, !leave.is_empty()),
            domains,
            leave: leave.iter().map(LeaverLine::new).collect(),
            has_places: view.stage >= GangStage::Clearing,
        }
    }

    /// Do all that must start together have places?
    pub fn has_places(&self) -> bool {
        self.has_places
    }

    /// Writes one screen.
    pub fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "Gang {} ({}, priority {}): {}", self.gang, self.written_as, self.priority, self.stage)?;
        if let Some(why) = &self.why {
            writeln!(out, "  {why}")?;
        }
        if self.failed_plans > 0 {
            writeln!(out, "  {} plans in a row were given up", self.failed_plans)?;
        }
        if !self.avoided_nodes.is_empty() {
            writeln!(out, "  not tried at present, since they refused a member: {}", self.avoided_nodes.join(", "))?;
        }
        if !self.members.is_empty() {
            let mut table = table();
            table.set_header(["MEMBER", "ROLE", "INDEX", "STATE", "NODE"]);
            for member in &self.members {
                table.add_row([
                    member.pod.clone().unwrap_or_else(|| "(to be made)".to_owned()),
                    member.role.clone(),
                    member.index.map(|index| index.to_string()).unwrap_or_default(),
                    member.state.to_owned(),
                    member.node.clone().unwrap_or_default(),
                ]);
            }
            writeln!(out, "{table}")?;
        }
        if !self.domains.is_empty() {
            writeln!(out, "Nearest misses")?;
            let mut table = table();
            table.set_header(["MUST SHARE", "DOMAIN", "NODES", "PLACES", "NEEDED"]);
            for line in self.domains.iter().take(NEAREST) {
                let counts = [line.nodes, line.places, line.needed].map(|count| count.to_string());
                let who = line.taken_by.as_ref().map(|who| format!(" ({who} is there)")).unwrap_or_default();
                table.add_row([vec![line.level.clone(), format!("{}{who}", line.name)], counts.to_vec()].concat());
            }
            writeln!(out, "{table}")?;
        }
        if !self.leave.is_empty() {
            let pods: Vec<String> = self.leave.iter().map(LeaverLine::text).collect();
            writeln!(out, "Would have to end: {}", pods.join(", "))?;
        }
        for (at, advice) in self.what_to_do.iter().enumerate() {
            writeln!(out, "{} {advice}", if at == 0 { "To do:" } else { "   or:" })?;
        }
        Ok(())
    }
}

/// What could be done for a gang that has no places.
fn what_to_do(view: &GangView, members: &[Arc<Pod>], host: &Host, can_clear: bool) -> Vec<String> {
    let namespace = &view.key.namespace;
    match view.stage {
        GangStage::Clearing | GangStage::Planned | GangStage::Running => vec![],
        GangStage::Gathering => {
            vec!["make the members that are missing, or mend what its pods or objects say".to_owned()]
        }
        GangStage::Waiting => {
            let mut advice = vec![];
            if can_clear {
                advice.push(format!(
                    "let those end that would have to, or let gangs of {namespace} evict them (gangs.preemptingNamespaces)"
                ));
            } else if let Some(miss) = stands_against_a_member(members, host) {
                advice.extend(explain::remedy(&miss));
            }
            advice.push("wait for room, or add nodes: testudo plan says which, and how many".to_owned());
            advice
        }
    }
}

/// What stands against a member on every node, where one is refused by all of them: the nearest miss.
fn stands_against_a_member(members: &[Arc<Pod>], host: &Host) -> Option<Miss> {
    let (pods, snapshot) = (host.pods(), host.snapshot());
    members.iter().find_map(|member| {
        let found = explain::misses(&snapshot, member, pods.iter().map(AsRef::as_ref));
        let is_refused_by_all = found.len() == snapshot.nodes().len();
        found.into_iter().next().filter(|_| is_refused_by_all)
    })
}

/// Who would have to end for it to start, by the planner's own search.
fn who_must_end(view: &GangView, host: &Host) -> Vec<Leaver> {
    let pods = host.pods();
    let priority = |key: &PodKey| pods.iter().find(|pod| pod.key == *key).map_or(0, |pod| pod.priority);
    let found = host.branch().making_room(&view.key).and_then(|task| task.who_must_end());
    let mut found: Vec<PodKey> = found.into_iter().flatten().map(|(pod, _)| pod).collect();
    found.sort();
    found.into_iter().map(|pod| Leaver { priority: priority(&pod), pod }).collect()
}
