//! The page: what was asked for, what came out, how it went.

use std::ffi::OsString;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::result::Report;
use super::plots::{Plot, Plots};
use super::{chart, palette, table};

/// A whole HTML document about a report. `command` is what was typed, word by word.
pub fn page(report: &Report, command: &[OsString]) -> String {
    let plots = Plots::of(report);
    let title = format!("Simulated placement: {}", report.mode);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // What is not in the page is not fetched, whatever may have found its way into it.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) (PreEscaped(palette::css())) }
            }
            body {
                main {
                    h1 { (title) }
                    pre.command tabindex="0" aria-label="The command" { code { (command_line(command)) } }
                    (setting(report))
                    h2 { "Means" }
                    p { (runs(report)) " The best of each column is marked." }
                    (table::means(report))
                    (table::versus(report))
                    (courses(report, &plots))
                }
                footer { "Made by testudo " (env!("CARGO_PKG_VERSION")) "." }
            }
        }
    };
    page.into_string()
}

/// As a shell would take it, and so that lines break between words.
fn command_line(command: &[OsString]) -> Markup {
    html! {
        @for (number, word) in command.iter().enumerate() {
            @if number > 0 { " " }
            span { (quoted(&word.to_string_lossy())) }
        }
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=:,./@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn runs(report: &Report) -> String {
    match report.policies.first().map_or(0, |policy| policy.seeds.len()) {
        1 => "One run of each policy.".to_owned(),
        runs => format!("Mean ± standard deviation of {runs} runs of each policy."),
    }
}

fn setting(report: &Report) -> Markup {
    let seeds: Vec<u64> =
        report.policies.first().map_or(vec![], |policy| policy.seeds.iter().map(|outcome| outcome.seed).collect());
    html! {
        dl.setting {
            @for (key, value) in &report.setting { div { dt { (key) } dd { (value) } } }
            div { dt { "seeds" } dd { (ranges(&seeds)) } }
        }
    }
}

/// `1, 5–7`.
fn ranges(seeds: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = vec![];
    for seed in seeds {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*seed) => *last = *seed,
            _ => ranges.push((*seed, *seed)),
        }
    }
    let text = |(first, last): (u64, u64)| if first == last { first.to_string() } else { format!("{first}–{last}") };
    ranges.into_iter().map(text).collect::<Vec<String>>().join(", ")
}

fn courses(report: &Report, plots: &Plots) -> Markup {
    let several = report.policies.first().is_some_and(|policy| policy.seeds.len() > 1);
    html! {
        @if !plots.plots.is_empty() {
            h2 { "How it went" }
            @if several { p { "Lines are means of the runs, and the bands go from the least to the most of them." } }
            ul.legend aria-label="Policies" {
                @for (number, policy) in report.policies.iter().enumerate() {
                    li { span class=(format!("swatch {}", palette::class(number))) aria-hidden="true" {} (policy.name) }
                }
            }
            div.plots {
                @for plot in &plots.plots {
                    figure {
                        (chart::svg(plot, false))
                        figcaption { (note(report, plot)) }
                        (table::numbers(plot))
                    }
                }
            }
        }
        @if !plots.all_zero.is_empty() { p.zero { "Zero throughout: " (plots.all_zero.join("; ")) "." } }
    }
}

/// What a plot means, and who has no line in it.
fn note(report: &Report, plot: &Plot) -> String {
    let has = |number: &usize| plot.courses.iter().any(|course| course.number == *number);
    let without = report.policies.iter().enumerate().filter(|(number, _)| !has(number));
    let names: Vec<&str> = without.map(|(_, policy)| policy.name.as_str()).collect();
    let missing = if names.is_empty() { String::new() } else { format!("Not measured for {}.", names.join(", ")) };
    [plot.caption.note.clone(), missing].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        assert_eq!(["--seeds", "1,5-7", "a/b.csv"].map(quoted), ["--seeds", "1,5-7", "a/b.csv"]);
        assert_eq!(["a b", "", "it's", "$HOME", "*"].map(quoted), ["'a b'", "''", r"'it'\''s'", "'$HOME'", "'*'"]);
        let line = command_line(&["testudo".into(), "<x>".into()]).into_string();
        assert_eq!(line, "<span>testudo</span> <span>'&lt;x&gt;'</span>");
    }

    #[test]
    fn seeds_are_told_as_they_are_asked_for() {
        assert_eq!(ranges(&[1, 5, 6, 7, 9]), "1, 5–7, 9");
        assert_eq!(ranges(&[u64::MAX, 0]), format!("{}, 0", u64::MAX));
    }
}
