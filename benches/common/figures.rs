//! Figures of benchmarks, each beside what was measured in the same run: rows of the table that `make bench` ends with.

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::Value;

/// A figure.
pub struct Figure<'a> {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    /// What it stands beside, and the figure of that in the same unit; nothing where nothing natural does the same.
    pub reference: Option<(&'a str, f64)>,
    /// What it should be, as `<= 5 ms`; or what its ratio to the reference should be, as `<= 1.5 x`. Empty where there is no aim.
    pub aim: &'a str,
}

impl Figure<'_> {
    /// Prints it; and where `FIGURES` in the environment names a file, adds it there as a line of JSON.
    pub fn tell(&self) {
        let shown = |value: f64| format!("{} {}", short(value), self.unit);
        let ratio = self.reference.map(|(_, of)| self.value / of).filter(|ratio| ratio.is_finite());
        let texts = [
            ("name", self.name.clone()),
            ("figure", shown(self.value)),
            ("reference", self.reference.map_or("none", |(reference, _)| reference).to_owned()),
            ("of_reference", self.reference.map(|(_, of)| shown(of)).unwrap_or_default()),
            ("ratio", ratio.map(short).unwrap_or_default()),
            ("aim", self.aim.to_owned()),
            ("verdict", self.is_met(ratio).map_or("", |is_met| if is_met { "met" } else { "MISSED" }).to_owned()),
        ];
        println!("{}", texts.each_ref().map(|(_, text)| text.as_str()).join(" | "));
        let row = Value::Object(texts.into_iter().map(|(column, text)| (column.to_owned(), text.into())).collect());
        let Some(path) = std::env::var_os("FIGURES") else { return };
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{row}"));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    fn is_met(&self, ratio: Option<f64>) -> Option<bool> {
        let words: Vec<&str> = self.aim.split_whitespace().collect();
        let [order, bound, of] = words[..] else { return None };
        let bound: f64 = bound.parse().expect("an aim has a number");
        let value = if of == "x" { ratio? } else { self.value };
        assert!(of == "x" || of == self.unit, "{}: the aim has another unit than the figure", self.name);
        Some(match order {
            "<" => value < bound,
            "<=" => value <= bound,
            ">=" => value >= bound,
            _ => panic!("{}: {order} is no order", self.name),
        })
    }
}

/// About three digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
