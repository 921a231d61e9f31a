//! A CSV file with a header, cell by cell, with the line of whatever is wrong.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use thiserror::Error;

/// Why a CSV file cannot be used: `pods.csv:17: column gpu_milli: "-5" is below 0`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}{}: {what}", line.map_or_else(String::new, |line| format!(":{line}")))]
pub struct CsvError {
    /// The file.
    pub file: String,
    /// Counted from 1; none where the file as a whole is meant.
    pub line: Option<u64>,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// No number of a trace is larger; sums of as many as a file may have still fit 64 bits.
const MAX_NUMBER: i64 = 1_000_000_000_000;

/// The rows of a file.
pub struct Table {
    file: String,
    header: Vec<String>,
    /// Each with its line, counted from 1.
    rows: Vec<(u64, StringRecord)>,
}

impl Table {
    /// Reads a file of at most so many bytes and rows.
    pub fn read(path: &Path, max_bytes: usize, max_rows: usize) -> Result<Self, CsvError> {
        let file = path.display().to_string();
        let fail = |line: Option<u64>, what: String| CsvError { file: file.clone(), line, what };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|opened| opened.take(max_bytes as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| fail(None, format!("cannot be read: {error}")))?;
        if bytes.len() > max_bytes {
            return Err(fail(None, format!("is larger than {max_bytes} bytes, which is the limit for a trace")));
        }
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        let mut reader = ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text);
        let header: Vec<String> =
            reader.headers().map_err(|error| fail(Some(1), error.to_string()))?.iter().map(str::to_owned).collect();
        if header.iter().all(String::is_empty) {
            return Err(fail(Some(1), "is empty: the first line must name the columns".into()));
        }
        let mut rows = vec![];
        for record in reader.records() {
            let record = record.map_err(|error| fail(error.position().map(csv::Position::line), error.to_string()))?;
            let line = record.position().map(|start| line_of(start, text));
            if record.len() != header.len() {
                let what = format!("has {} fields, but the header names {} columns", record.len(), header.len());
                return Err(fail(line, what));
            }
            if rows.len() == max_rows {
                return Err(fail(line, format!("is longer than {max_rows} rows, which is the limit")));
            }
            rows.push((line.unwrap_or_default(), record));
        }
        if rows.is_empty() {
            return Err(fail(None, "has a header but no rows".into()));
        }
        Ok(Self { file, header, rows })
    }

    /// Where a column stands.
    pub fn column(&self, name: &str) -> Result<usize, CsvError> {
        self.optional(name).ok_or_else(|| {
            let what = format!("column {name} is missing; the header names {}", self.header.join(", "));
            CsvError { file: self.file.clone(), line: Some(1), what }
        })
    }

    /// Where a column stands that not every trace has.
    pub fn optional(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// The rows, in their order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, record)| Row { table: self, line: *line, record })
    }
}

/// The line of a row. The reader's position is where it began to look for the row, before any blank lines.
fn line_of(start: &csv::Position, text: &[u8]) -> u64 {
    let rest = usize::try_from(start.byte()).ok().and_then(|at| text.get(at..)).unwrap_or_default();
    let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).filter(|byte| **byte == b'\n').count();
    start.line() + blank as u64
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    table: &'a Table,
    line: u64,
    record: &'a StringRecord,
}

impl<'a> Row<'a> {
    /// The line on which it stands, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// A cell.
    pub fn text(&self, column: usize) -> &'a str {
        self.record.get(column).unwrap_or_default()
    }

    /// A cell that names something.
    pub fn name(&self, column: usize) -> Result<&'a str, CsvError> {
        match self.text(column) {
            "" => Err(self.wrong_cell(column, "is empty")),
            name => Ok(name),
        }
    }

    /// A cell that holds a whole number, 0 or more.
    pub fn number(&self, column: usize) -> Result<i64, CsvError> {
        let text = self.text(column);
        match text.parse::<i64>() {
            Ok(number) if number < 0 => Err(self.wrong_cell(column, &format!("{text:?} is below 0"))),
            Ok(number) if number > MAX_NUMBER => {
                Err(self.wrong_cell(column, &format!("{text:?} is above {MAX_NUMBER}")))
            }
            Ok(number) => Ok(number),
            Err(_) if text.is_empty() => Err(self.wrong_cell(column, "is empty")),
            Err(_) => Err(self.wrong_cell(column, &format!("{text:?} is no whole number"))),
        }
    }

    /// An error about this row.
    pub fn wrong(&self, what: impl Into<String>) -> CsvError {
        CsvError { file: self.table.file.clone(), line: Some(self.line()), what: what.into() }
    }

    fn wrong_cell(&self, column: usize, what: &str) -> CsvError {
        self.wrong(format!("column {}: {what}", self.table.header[column]))
    }
}
