//! One gang in detail: the facts of `testudo explain gang`.

use std::sync::Arc;

use serde::Serialize;
use testudo_core::engine::{GangStage, GangView, Snapshot};
use testudo_core::model::pod::Pod;

use crate::explain::{self, DomainMiss, MemberLine};

/// Domains that are shown, those with the most places first.
const MAX_DOMAINS: usize = 5;

/// One gang in detail.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GangDetail {
    written_as: &'static str,
    stage: &'static str,
    waits_for_places: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    priority: i32,
    members: Vec<MemberLine>,
    avoided_nodes: Vec<String>,
    failed_plans: u32,
    /// What the domains that could take most of its members could take, while it waits.
    domains: Vec<DomainMiss>,
}

impl GangDetail {
    /// Explains a gang; `pods` are all those of the cluster.
    pub fn of(view: &GangView, snapshot: &Snapshot, pods: &[Arc<Pod>]) -> Self {
        let waits_for_places = view.stage == GangStage::Waiting;
        let members = explain::waiting_members(&view.key, pods);
        let mut domains = if waits_for_places { explain::domains(snapshot, &members) } else { vec![] };
        domains.truncate(MAX_DOMAINS);
        Self {
            written_as: view.key.dialect.group_kind(),
            stage: explain::stage(view.stage),
            waits_for_places,
            why: view.why.as_ref().map(ToString::to_string),
            priority: view.priority,
            members: view.members.iter().map(MemberLine::of).collect(),
            avoided_nodes: view.avoided.iter().map(ToString::to_string).collect(),
            failed_plans: view.failures,
            domains,
        }
    }
}
