//! How the results of `testudo simulate` are written.

use std::io::{IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle};

use super::super::output::stdout;
use super::versus;
use crate::sim::report::words::{allocated_heading, heading};
use crate::sim::result::{Measures, Report};

/// For people: a row for each policy, mean and standard deviation over the seeds.
pub fn tables(report: &Report) -> anyhow::Result<()> {
    let mut out = stdout();
    let setting: Vec<String> = report.setting.iter().map(|(key, value)| format!("{key} {value}")).collect();
    let seeds = report.policies.first().map_or(0, |policy| policy.seeds.len());
    let runs = if seeds == 1 { "1 seed".to_owned() } else { format!("mean ± standard deviation of {seeds} seeds") };
    writeln!(out, "{}: {}; {runs}", report.mode, setting.join(", "))?;
    let Some(first) = report.policies.first() else { return Ok(()) };
    let mut table = Table::new();
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    let loads = first.mean.allocated_percent.iter().map(|(load, _)| allocated_heading(load));
    let names = first.mean.values.iter().map(|(name, _)| heading(name));
    table.load_style(STYLE).set_header(std::iter::once("policy".to_owned()).chain(loads).chain(names));
    for policy in &report.policies {
        let cells = cells(&policy.mean, &policy.sd, seeds > 1);
        table.add_row(std::iter::once(Cell::new(&policy.name)).chain(cells));
    }
    let rows: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    writeln!(out, "{}", rows.join("\n"))?;
    Ok(versus::table(report, &mut out)?)
}

fn cells(mean: &Measures, sd: &Measures, several: bool) -> Vec<Cell> {
    let all = |measures: &Measures| -> Vec<f64> {
        let loads = measures.allocated_percent.iter().map(|(_, value)| *value);
        loads.chain(measures.values.iter().map(|(_, value)| *value)).collect()
    };
    let both = all(mean).into_iter().zip(all(sd));
    let text = |(mean, sd)| if several { format!("{mean:.1} ± {sd:.1}") } else { format!("{mean:.1}") };
    both.map(|values| Cell::new(text(values)).set_alignment(CellAlignment::Right)).collect()
}

/// How all tables are drawn.
pub(super) const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none());
