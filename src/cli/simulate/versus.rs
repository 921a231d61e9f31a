//! How policies stand against each other, as a table below the figures.

use std::io::Write;

use comfy_table::{Cell, CellAlignment, Table};

use super::show::STYLE;
use crate::sim::result::Report;
use crate::sim::versus::Versus;

/// A row for each policy that can be compared; nothing where none can.
pub fn table(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    let stands = || report.policies.iter().filter_map(|policy| Some((policy, policy.versus.as_ref()?)));
    let Some((_, first)) = stands().next() else { return Ok(()) };
    let mut table = Table::new();
    table.load_style(STYLE).set_header(["policy", "best other", "difference", "95 % interval", "p"]);
    for (policy, stand) in stands() {
        let figures = figures(stand).map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
        table.add_row([&policy.name, &stand.policy].map(Cell::new).into_iter().chain(figures));
    }
    let rows: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    writeln!(out, "\n{} of each policy and the best other one, paired by seed:", first.measure)?;
    writeln!(out, "{}", rows.join("\n"))
}

fn figures(stand: &Versus) -> [String; 3] {
    let [low, high] = stand.ci95;
    let p = if stand.p < 0.001 { "< 0.001".to_owned() } else { format!("{:.3}", stand.p) };
    [format!("{:+.2}", stand.difference), format!("{low:+.2} to {high:+.2}"), p]
}
