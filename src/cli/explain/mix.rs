//! The mix, explained: what counts as a typical demand.

use std::io::Write;

use serde::Serialize;
use testudo_core::placement::fragmentation::{Mix, MixEntry};

use super::super::output::table;

/// Which demands count as typical.
#[derive(Debug, Serialize)]
pub struct MixExplanation {
    shapes: Vec<ShapeLine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShapeLine {
    /// Of all pods that are expected.
    percent: f64,
    accelerator: String,
    units: i64,
    cpu: String,
    memory: String,
    /// Whether only some nodes are accepted.
    conditional: bool,
}

impl MixExplanation {
    /// Explains a mix.
    pub fn new(mix: &Mix) -> Self {
        let all: u64 = mix.entries.iter().map(|entry| entry.weight).sum();
        let line = |MixEntry { shape, weight, .. }: &MixEntry| ShapeLine {
            percent: (*weight as f64 / all.max(1) as f64 * 10_000.0).round() / 100.0,
            accelerator: shape.accelerator.to_string(),
            units: shape.units,
            cpu: format!("{}m", shape.cpu_milli),
            memory: format!("{}Mi", shape.memory >> 20),
            conditional: !shape.accepts_any_node(),
        };
        Self { shapes: mix.entries.iter().map(line).collect() }
    }

    /// Writes a table.
    pub fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "Typical demands, those for most devices first: pods that wait or run, and a small prior")?;
        let mut table = table();
        table.set_header(["PODS %", "ACCELERATOR", "UNITS", "CPU", "MEMORY", "NODES"]);
        for line in &self.shapes {
            table.add_row([
                format!("{:.2}", line.percent),
                line.accelerator.clone(),
                line.units.to_string(),
                line.cpu.clone(),
                line.memory.clone(),
                if line.conditional { "some" } else { "any" }.to_owned(),
            ]);
        }
        writeln!(out, "{table}")
    }
}
