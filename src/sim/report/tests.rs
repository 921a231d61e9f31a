use std::collections::BTreeMap;
use std::ffi::OsString;

use super::super::result::{Measures, Outcome, Point, PolicyReport, Report, key};
use super::super::versus::{Aim, compare};
use super::page::page;
use super::plots::Plots;

fn run(seed: u64, allocated: f64, fragmentation: Option<f64>) -> Outcome {
    let point = |at: f64| Point {
        at,
        allocated_percent: allocated * at / 100.0,
        fragmentation_percent: fragmentation,
        free_sets: BTreeMap::from([(1, 10), (2, 5)]),
        ..Point::default()
    };
    let measures = Measures {
        allocated_percent: vec![("100".into(), allocated)],
        values: std::iter::once((key::REJECTED_BY_FRAGMENTATION, 100.0 - allocated))
            .chain(fragmentation.map(|value| (key::FRAGMENTATION, value)))
            .collect(),
        ..Measures::default()
    };
    Outcome { seed, measures, series: [50.0, 90.0, 100.0].map(point).to_vec() }
}

fn report() -> Report {
    let policies = vec![
        PolicyReport::new("<b>bold</b>", vec![run(1, 90.0, None), run(2, 92.0, None)]),
        PolicyReport::new("fgd", vec![run(1, 95.0, Some(3.0)), run(2, 95.0, Some(5.0))]),
    ];
    Report { mode: "inflation".into(), setting: BTreeMap::from([("gpus".into(), "1 & 2".into())]), policies }
}

fn typed(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[test]
fn what_is_measured_is_plotted_and_what_is_zero_is_said() {
    let plots = Plots::of(&report());
    let ids: Vec<&str> = plots.plots.iter().map(|plot| plot.id.as_str()).collect();
    assert_eq!(ids, ["allocated", "allocated-close-up", "fragmentation", "free-sets-1", "free-sets-2"]);
    assert_eq!(plots.all_zero, ["Refused, though enough was free", "Waiting"]);
    let of = |id: &str| plots.plots.iter().find(|plot| plot.id == id).expect(id);
    let fragmentation = &of("fragmentation").courses;
    assert_eq!(fragmentation.len(), 1, "only one policy measures it");
    assert_eq!((fragmentation[0].number, fragmentation[0].policy.as_str()), (1, "fgd"));
    let last = fragmentation[0].samples.last().expect("samples");
    assert_eq!((last.mean, last.low, last.high), (4.0, 3.0, 5.0));
    assert_eq!(of("allocated-close-up").courses[0].samples.len(), 2, "from a load of 80 on");
}

#[test]
fn time_stamps_become_days() {
    let mut report = report();
    report.mode = "replay".into();
    report.policies.iter_mut().flat_map(|policy| &mut policy.seeds).flat_map(|run| &mut run.series).for_each(|point| {
        point.at *= 86_400.0;
    });
    let plots = Plots::of(&report);
    assert_eq!(plots.plots[0].over, "time, days");
    assert_eq!(plots.plots[0].courses[0].samples[0].at, 50.0);
}

#[test]
fn nothing_breaks_out_of_the_page() {
    let command = typed(&["testudo", "--nodes", "</code><script>alert(1)</script>.csv", "\"&'"]);
    let page = page(&report(), &command);
    assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("</code>.csv"));
    assert!(page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;bold&lt;/b&gt;") && page.contains("1 &amp; 2"));
}

#[test]
fn the_best_of_each_column_is_marked() {
    let page = page(&report(), &[]);
    // Most is best of what is allocated, least of what is refused; the one that alone measures something is not.
    assert!(page.contains("<td class=\"best\"><strong>95.0</strong>"));
    assert!(page.contains("<td class=\"best\"><strong>5.0</strong>"));
    assert_eq!(page.matches("<td class=\"best\">").count(), 2);
    assert!(page.contains("<td>91.0<span class=\"sd\"> ± 1.4</span></td>"));
}

#[test]
fn who_is_ahead_is_told_with_how_sure_that_is() {
    let mut report = report();
    assert!(!page(&report, &[]).contains("paired by seed"), "nothing was compared");
    compare(&mut report.policies, Aim::Allocated, |_| true);
    let page = page(&report, &[]);
    assert!(page.contains("allocated @100 % of each policy and the best other one, paired by seed"), "{page}");
    // 3 and 5 points: the mean is 4, its standard error 1, and t is 12.71 for one degree of freedom.
    let row = "<th scope=\"row\">fgd</th><td>&lt;b&gt;bold&lt;/b&gt;</td><td>+4.00</td><td>-8.71 to +16.71</td><td>0.156</td>";
    assert!(page.contains(row), "{page}");
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let command = typed(&["testudo", "simulate"]);
    assert_eq!(page(&report(), &command), page(&report(), &command));
}

#[test]
fn a_report_without_courses_has_no_plots() {
    let page = page(&report().without_series(), &[]);
    assert!(!page.contains("<svg") && !page.contains("How it went") && page.contains("<table>"));
}
