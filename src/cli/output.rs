//! How answers are written.

use std::io::{Error, ErrorKind, Write};

use anyhow::Context;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Whoever reads the standard output has seen enough.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the standard output any more")]
struct ReaderGone;

/// Writes to the standard output, and tells of a reader who is gone apart from all other connections that break.
pub struct Stdout<W>(W);

/// The standard output, as all commands write to it.
pub fn stdout() -> Stdout<std::io::StdoutLock<'static>> {
    Stdout(std::io::stdout().lock())
}

impl<W> Stdout<W> {
    fn told<T>(result: std::io::Result<T>) -> std::io::Result<T> {
        result.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Error::new(ErrorKind::BrokenPipe, ReaderGone),
            _ => error,
        })
    }
}

impl<W: Write> Write for Stdout<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Self::told(self.0.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Self::told(self.0.flush())
    }
}

/// `testudo explain ... | head` is no error.
pub fn has_been_read(error: &anyhow::Error) -> bool {
    let is_gone = |error: &Error| error.get_ref().is_some_and(|inner| inner.is::<ReaderGone>());
    error.chain().any(|cause| cause.downcast_ref::<Error>().is_some_and(is_gone))
}

/// Writes an answer for programs.
///
/// # Errors
/// When the standard output takes no more.
pub fn write_json(answer: &impl Serialize) -> std::io::Result<()> {
    let mut out = stdout();
    // As an error of the stream, so that a reader who has seen enough is known for one.
    serde_json::to_writer_pretty(&mut out, answer).map_err(Error::from)?;
    writeln!(out)
}

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
        match self {
            Self::Table => table(&mut stdout())?,
            Self::Json => write_json(answer)?,
            Self::Yaml => write!(stdout(), "{}", serde_saphyr::to_string(answer).context("cannot write YAML")?)?,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What nobody reads any more.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Err(ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn only_who_reads_the_standard_output_can_have_seen_enough() {
        let error = writeln!(Stdout(Closed), "a line").unwrap_err();
        assert!(has_been_read(&anyhow::Error::from(error).context("while writing")));
        let json = serde_json::to_writer_pretty(&mut Stdout(Closed), &[1]).map_err(Error::from).unwrap_err();
        assert!(has_been_read(&json.into()));
        // The API server hangs up.
        let error = kube::Error::Service(Box::new(Error::from(ErrorKind::BrokenPipe)));
        assert!(!has_been_read(&anyhow::Error::from(error).context("the cluster cannot be listed")));
    }
}
