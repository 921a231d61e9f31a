//! A node's explanation as a table.

use std::io::Write;

use super::super::output::table;
use crate::explain::node::NodeExplanation;

impl NodeExplanation {
    /// Writes one screen.
    pub fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        writeln!(out, "Node {}", self.node)?;
        writeln!(out, "  product   {}", or_unknown(&self.product))?;
        writeln!(out, "  machine   {} (instance type {})", or_unknown(&self.machine), or_unknown(&self.instance_type))?;
        writeln!(out, "  zone      {}", or_unknown(&self.zone))?;
        if let Some(clique) = &self.clique {
            writeln!(out, "  clique    {clique}")?;
        }
        let links =
            if self.link_complete { "all devices are linked" } else { "not all devices are linked and healthy" };
        writeln!(out, "  links     {links}")?;
        for taint in &self.taints {
            writeln!(out, "  taint     {taint}")?;
        }
        if self.cordoned {
            writeln!(out, "  cordoned")?;
        }
        writeln!(out, "  pods      {}", self.pods.len())?;
        let mut table = table();
        table.set_header(["RESOURCE", "UNITS ARE", "CAPACITY", "ALLOCATABLE", "FREE"]);
        for pool in &self.pools {
            let counts = [pool.capacity, pool.allocatable, pool.free].map(|count| count.to_string());
            table.add_row([vec![pool.resource.clone(), pool.unit.clone()], counts.to_vec()].concat());
        }
        writeln!(out, "{table}")?;
        for problem in &self.not_understood {
            writeln!(out, "Not understood: {problem}")?;
        }
        Ok(())
    }
}
