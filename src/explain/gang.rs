//! A gang, explained: how far it has come, why not further, and where its members are.

use serde::Serialize;
use testudo_core::engine::{GangStage, GangView, MemberView};

/// A gang, explained.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GangExplanation {
    pub gang: String,
    pub written_as: &'static str,
    pub stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub priority: i32,
    pub members: Vec<MemberLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub avoided_nodes: Vec<String>,
    pub failed_plans: u32,
    #[serde(skip)]
    has_places: bool,
}

/// One member.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberLine {
    /// Absent for a member that its controller has yet to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
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
}

impl MemberLine {
    pub fn new(member: &MemberView) -> Self {
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
