//! The tables of a report.

use maud::{Markup, html};

use super::super::result::{Measures, Report};
use super::chart::short;
use super::course::Sample;
use super::plots::Plot;
use super::words::{self, Better, PAIRED, VERSUS, allocated_heading, better, heading};

/// A column of the table of means.
struct Column {
    heading: String,
    better: Option<Better>,
    /// Mean and standard deviation, for each policy; none where it does not measure this.
    cells: Vec<Option<(f64, f64)>>,
}

/// A row for each policy: mean and standard deviation of what was measured, the best of each column marked.
pub fn means(report: &Report) -> Markup {
    let several = report.policies.first().is_some_and(|policy| policy.seeds.len() > 1);
    let columns = columns(report);
    let best: Vec<Option<String>> = columns.iter().map(best).collect();
    html! {
        div.wide role="region" tabindex="0" aria-label="Table of means" {
            table {
                thead {
                    tr {
                        th scope="col" { "policy" }
                        @for column in &columns { th scope="col" { (column.heading) } }
                    }
                }
                tbody {
                    @for (number, policy) in report.policies.iter().enumerate() {
                        tr {
                            th scope="row" { (policy.name) }
                            @for (column, best) in columns.iter().zip(&best) { (cell(column.cells[number], best, several)) }
                        }
                    }
                }
            }
        }
    }
}

fn cell(cell: Option<(f64, f64)>, best: &Option<String>, several: bool) -> Markup {
    let Some((mean, sd)) = cell else { return html! { td { "–" } } };
    let mean = shown(mean);
    html! {
        @if best.as_ref() == Some(&mean) {
            td.best { strong { (mean) } @if several { span.sd { " ± " (shown(sd)) } } span.unseen { " (best)" } }
        } @else {
            td { (mean) @if several { span.sd { " ± " (shown(sd)) } } }
        }
    }
}

/// With one digit behind the point: the others are noise.
fn shown(value: f64) -> String {
    format!("{value:.1}")
}

fn columns(report: &Report) -> Vec<Column> {
    let Some(first) = report.policies.first() else { return vec![] };
    let cells = |of: &dyn Fn(&Measures) -> Option<f64>| -> Vec<Option<(f64, f64)>> {
        report.policies.iter().map(|policy| of(&policy.mean).zip(of(&policy.sd))).collect()
    };
    let loads = first.mean.allocated_percent.iter().map(|(load, _)| Column {
        heading: allocated_heading(load),
        better: Some(Better::Higher),
        cells: cells(&|measures| measures.allocated_at(load)),
    });
    let profiles = first.mean.accepted_percent_by_profile.iter().map(|(profile, _)| Column {
        heading: format!("{profile}\naccepted %"),
        better: Some(Better::Higher),
        cells: cells(&|measures| {
            let found = measures.accepted_percent_by_profile.iter().find(|(known, _)| known == profile);
            found.map(|(_, accepted)| *accepted)
        }),
    });
    // One policy may measure what another does not.
    let mut names: Vec<&str> = vec![];
    for (name, _) in report.policies.iter().flat_map(|policy| &policy.mean.values) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let values = names.into_iter().map(|name| Column {
        heading: heading(name),
        better: better(name),
        cells: cells(&|measures| measures.get(name)),
    });
    loads.chain(values).chain(profiles).collect()
}

/// What the best of a column have, as it is shown; none where nobody is better than anybody.
fn best(column: &Column) -> Option<String> {
    let means: Vec<f64> = column.cells.iter().flatten().map(|(mean, _)| *mean).collect();
    let least = means.iter().copied().fold(f64::INFINITY, f64::min);
    let most = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if means.is_empty() || shown(least) == shown(most) {
        return None;
    }
    Some(shown(if column.better? == Better::Higher { most } else { least }))
}

/// A row for each policy that can be compared with the others; nothing where none can.
pub fn versus(report: &Report) -> Markup {
    let stands = || report.policies.iter().filter_map(|policy| Some((policy, policy.versus.as_ref()?)));
    html! {
        @if let Some((_, first)) = stands().next() {
            p { (words::measure(&first.measure)) " " (PAIRED) "." }
            div.wide role="region" tabindex="0" aria-label="Table of differences" {
                table {
                    thead { tr { @for heading in VERSUS { th scope="col" { (heading) } } } }
                    tbody {
                        @for (policy, stand) in stands() {
                            tr {
                                th scope="row" { (policy.name) }
                                td { (stand.policy) }
                                @for figure in words::stand(stand) { td { (figure) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// About how many rows the table of a plot has.
const ROWS: usize = 12;

/// What a plot shows, in numbers.
pub fn numbers(plot: &Plot) -> Markup {
    let longest = plot.courses.iter().max_by_key(|course| course.samples.len());
    let places: Vec<f64> = longest.map_or(vec![], |course| thinned(&course.samples));
    let at = |samples: &[Sample], place: f64| samples.iter().find(|sample| sample.at >= place).copied();
    html! {
        details {
            summary { "As a table" }
            div.wide role="region" tabindex="0" aria-label=(format!("{}, as a table", plot.caption.title)) {
                table {
                    thead {
                        tr {
                            th scope="col" { (plot.over) }
                            @for course in &plot.courses { th scope="col" { (course.policy) } }
                        }
                    }
                    tbody {
                        @for place in places {
                            tr {
                                th scope="row" { (short(place)) }
                                @for course in &plot.courses { (range(at(&course.samples, place))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn range(sample: Option<Sample>) -> Markup {
    html! {
        td {
            @match sample {
                Some(sample) if sample.high > sample.low => {
                    (short(sample.mean)) span.sd { " (" (short(sample.low)) "–" (short(sample.high)) ")" }
                }
                Some(sample) => { (short(sample.mean)) }
                None => "–",
            }
        }
    }
}

/// Some of the places, evenly, with the last.
fn thinned(samples: &[Sample]) -> Vec<f64> {
    let step = samples.len().div_ceil(ROWS).max(1);
    let mut places: Vec<f64> = samples.iter().rev().step_by(step).map(|sample| sample.at).collect();
    places.reverse();
    places
}
