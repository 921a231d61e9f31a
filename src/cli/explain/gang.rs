//! A gang, explained: how far it has come, why not further, and where its members are.

use std::io::Write;

use serde::Serialize;
use testudo_core::engine::{GangStage, GangView, MemberView};

use super::super::output::table;

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
    #[serde(skip)]
    has_places: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberLine {
    /// Absent for a member that its controller has yet to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

impl GangExplanation {
    /// Explains a gang.
    pub fn new(view: &GangView) -> Self {
        Self {
            gang: view.key.to_string(),
            written_as: view.key.dialect.group_kind(),
            stage: match view.stage {
                GangStage::Gathering => "is not complete",
                GangStage::Waiting => "waits for places",
                GangStage::Clearing => "waits for others to make way",
                GangStage::Planned => "has places, and is about to start",
                GangStage::Running => "runs",
            },
            why: view.why.as_ref().map(ToString::to_string),
            priority: view.priority,
            members: view.members.iter().map(MemberLine::new).collect(),
            avoided_nodes: view.avoided.iter().map(ToString::to_string).collect(),
            failed_plans: view.failures,
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
        if self.members.is_empty() {
            return Ok(());
        }
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
        writeln!(out, "{table}")
    }
}

impl MemberLine {
    fn new(member: &MemberView) -> Self {
        Self {
            pod: member.pod.as_ref().map(|pod| pod.name.clone()),
            role: member.role.to_string(),
            index: member.index,
            state: match (member.is_bound, &member.node, member.is_extra) {
                (true, ..) => "bound",
                (false, Some(_), _) => "place kept",
                (false, None, false) => "waits",
                (false, None, true) => "waits, may start later",
            },
            node: member.node.as_ref().map(ToString::to_string),
        }
    }
}
