//! How a quantity went under a policy: the mean over its runs, and the least and the most of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::result::{Outcome, Point, Report};

/// What is plotted: a field of [`Point`], or one part of a field that is a map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    /// The field.
    pub field: String,
    /// The part of it: its number, if it begins with one, so that 2 is before 10; and its name.
    part: Option<(u64, String)>,
}

impl Quantity {
    fn new(field: &str, part: Option<&str>) -> Self {
        let number =
            |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
        Self { field: field.to_owned(), part: part.map(|part| (number(part), part.to_owned())) }
    }

    /// The part of the field, where it is a map.
    pub fn part(&self) -> Option<&str> {
        self.part.as_ref().map(|(_, name)| name.as_str())
    }
}

/// One moment of several runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The load that has arrived, or the time.
    pub at: f64,
    /// The mean of the runs.
    pub mean: f64,
    /// The least of them.
    pub low: f64,
    /// The most.
    pub high: f64,
}

/// A quantity under one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// The number of the policy in the report.
    pub number: usize,
    /// Its name.
    pub policy: String,
    /// How it went, in order.
    pub samples: Vec<Sample>,
}

/// A line as it was measured.
type Line = Vec<(f64, f64)>;

/// All quantities of a report, each under all policies that measure it.
pub fn courses(report: &Report) -> BTreeMap<Quantity, Vec<Course>> {
    let mut all: BTreeMap<Quantity, Vec<Course>> = BTreeMap::new();
    for (number, policy) in report.policies.iter().enumerate() {
        let mut runs: BTreeMap<Quantity, Vec<Line>> = BTreeMap::new();
        for outcome in &policy.seeds {
            lines(outcome).into_iter().for_each(|(quantity, line)| runs.entry(quantity).or_default().push(line));
        }
        for (quantity, runs) in runs {
            let course = Course { number, policy: policy.name.clone(), samples: together(&runs) };
            all.entry(quantity).or_default().push(course);
        }
    }
    all
}

/// What a run measured, as it is written in JSON: a new field of a point is plotted without further ado.
fn lines(outcome: &Outcome) -> BTreeMap<Quantity, Line> {
    let mut lines: BTreeMap<Quantity, Line> = BTreeMap::new();
    for point in &outcome.series {
        for (quantity, value) in values(point) {
            lines.entry(quantity).or_default().push((point.at, value));
        }
    }
    lines
}

fn values(point: &Point) -> Vec<(Quantity, f64)> {
    let Ok(Value::Object(fields)) = serde_json::to_value(point) else { return vec![] };
    let mut values = vec![];
    for (field, value) in fields.iter().filter(|(field, _)| *field != "at") {
        match value {
            Value::Object(parts) => values.extend(
                parts.iter().filter_map(|(part, value)| Some((Quantity::new(field, Some(part)), value.as_f64()?))),
            ),
            value => values.extend(value.as_f64().map(|value| (Quantity::new(field, None), value))),
        }
    }
    values
}

/// Several runs as one. Each has points of its own, so all are read where the first has them and all still run.
fn together(runs: &[Line]) -> Vec<Sample> {
    if runs.is_empty() {
        return vec![];
    }
    let ends = |line: &Line| Some((line.first()?.0, line.last()?.0));
    let Some(ends) = runs.iter().map(ends).collect::<Option<Vec<_>>>() else { return vec![] };
    let first = ends.iter().map(|(first, _)| *first).fold(f64::NEG_INFINITY, f64::max);
    let last = ends.iter().map(|(_, last)| *last).fold(f64::INFINITY, f64::min);
    let grid = runs.first().into_iter().flatten().map(|(at, _)| *at);
    // Every run ends with a point where all has come, and none of them at quite the same load.
    let grid = grid.filter(|at| *at >= first && *at < last).chain((last >= first).then_some(last));
    let sample = |at: f64| {
        let values: Vec<f64> = runs.iter().map(|line| value_at(line, at)).collect();
        Sample {
            at,
            mean: values.iter().sum::<f64>() / values.len() as f64,
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    };
    grid.map(sample).collect()
}

/// The value of a line at a place between its ends.
fn value_at(line: &Line, at: f64) -> f64 {
    let next = line.partition_point(|(x, _)| *x < at).min(line.len() - 1);
    let (x, y) = line[next];
    let (x_before, y_before) = line[next.saturating_sub(1)];
    if x > x_before && at < x { y_before + (y - y_before) * (at - x_before) / (x - x_before) } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_at_the_same_places() {
        let runs = vec![vec![(0.0, 0.0), (10.0, 10.0), (20.0, 20.0)], vec![(5.0, 15.0), (15.0, 5.0)]];
        let samples: Vec<(f64, f64, f64, f64)> =
            together(&runs).into_iter().map(|sample| (sample.at, sample.mean, sample.low, sample.high)).collect();
        assert_eq!(samples, [(10.0, 10.0, 10.0, 10.0), (15.0, 10.0, 5.0, 15.0)]);
        assert_eq!(together(&[]), []);
        assert_eq!(together(&[vec![(1.0, 2.0)], vec![]]), []);
    }

    #[test]
    fn one_run_stays_as_it_is() {
        let run = vec![(1.0, 3.0), (2.0, 4.0), (7.0, 1.0)];
        let samples = together(std::slice::from_ref(&run));
        assert_eq!(samples.iter().map(|sample| (sample.at, sample.mean)).collect::<Line>(), run);
        assert!(samples.iter().all(|sample| sample.low == sample.high));
    }

    #[test]
    fn parts_are_in_the_order_of_their_numbers() {
        let point = Point {
            free_sets: BTreeMap::from([(1, 9), (2, 4), (10, 0)]),
            fragmentation_by_profile: BTreeMap::from([("1g.5gb".to_owned(), 0.5), ("7g.40gb".to_owned(), 12.0)]),
            ..Point::default()
        };
        let mut values = values(&point);
        values.sort_by(|a, b| a.0.cmp(&b.0));
        let of = |field: &str| -> Vec<(String, f64)> {
            let parts = values.iter().filter(|(quantity, _)| quantity.field == field);
            parts.map(|(quantity, value)| (quantity.part().unwrap_or_default().to_owned(), *value)).collect()
        };
        assert_eq!(of("free_sets"), [("1".to_owned(), 9.0), ("2".to_owned(), 4.0), ("10".to_owned(), 0.0)]);
        assert_eq!(of("fragmentation_by_profile"), [("1g.5gb".to_owned(), 0.5), ("7g.40gb".to_owned(), 12.0)]);
        assert_eq!(of("allocated_percent"), [(String::new(), 0.0)]);
        assert!(of("at").is_empty() && of("fragmentation_percent").is_empty());
    }
}
