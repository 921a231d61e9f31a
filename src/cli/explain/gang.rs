//! A gang's explanation as a table.

use std::io::Write;

use super::table;
use crate::explain::gang::GangExplanation;

impl GangExplanation {
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
