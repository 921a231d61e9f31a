//! Prints the figures that benchmarks have added to the file that `FIGURES` names as one table: the end of `make bench`.

use std::fs;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

/// Texts of a row (benches/common/figures.rs), and their headings.
const COLUMNS: [(&str, &str); 7] = [
    ("name", "what"),
    ("figure", "figure"),
    ("reference", "reference"),
    ("of_reference", "its figure"),
    ("ratio", "ratio"),
    ("aim", "aim"),
    ("verdict", ""),
];

fn main() {
    let path = std::env::var_os("FIGURES").expect("FIGURES names a file");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(COLUMNS.map(|(_, heading)| heading));
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("a row is JSON");
        table.add_row(COLUMNS.map(|(key, _)| row[key].as_str().unwrap_or_default().to_owned()));
    }
    for (number, (key, _)) in COLUMNS.iter().enumerate() {
        let column = table.column_mut(number).expect("a column");
        let is_number = matches!(*key, "figure" | "of_reference" | "ratio");
        column.set_cell_alignment(if is_number { CellAlignment::Right } else { CellAlignment::Left });
    }
    println!("{table}");
}
