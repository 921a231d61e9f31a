//! How answers are written.

use std::io::Write;

use anyhow::Context;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For programs, and for people who know Kubernetes.
    Yaml,
}

impl Output {
    /// Writes an answer to the standard output.
    ///
    /// # Errors
    /// When it takes no more.
    pub fn write(
        self,
        answer: &impl Serialize,
        table: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match self {
            Self::Table => table(&mut out)?,
            Self::Json => {
                // As an error of the stream, so that a reader who has seen enough is known for one.
                serde_json::to_writer_pretty(&mut out, answer).map_err(std::io::Error::from)?;
                writeln!(out)?;
            }
            Self::Yaml => write!(out, "{}", serde_saphyr::to_string(answer).context("cannot write YAML")?)?,
        }
        Ok(())
    }
}

/// Columns without lines, as kubectl writes them.
pub fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}
