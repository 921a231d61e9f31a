//! How policies stand against each other, as a table below the figures.

use std::io::Write;

use comfy_table::{Cell, CellAlignment, Table};

use super::show::STYLE;
use crate::sim::report::words::{self, PAIRED, VERSUS};
use crate::sim::result::Report;

/// A row for each policy that can be compared; nothing where none can.
pub fn table(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    let stands = || report.policies.iter().filter_map(|policy| Some((policy, policy.versus.as_ref()?)));
    let Some((_, first)) = stands().next() else { return Ok(()) };
    let mut table = Table::new();
    table.load_style(STYLE).set_header(VERSUS);
    for (policy, stand) in stands() {
        let figures = words::stand(stand).map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
        table.add_row([&policy.name, &stand.policy].map(Cell::new).into_iter().chain(figures));
    }
    let rows: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    writeln!(out, "\n{} {PAIRED}:", words::measure(&first.measure))?;
    writeln!(out, "{}", rows.join("\n"))
}
