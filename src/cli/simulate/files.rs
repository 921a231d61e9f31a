//! Reports as files.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::Path;

use anyhow::Context;

use crate::sim::report::plots::Plots;
use crate::sim::report::{chart, page};
use crate::sim::result::Report;

use super::Args;

/// Fails where a report could not be written: it is found out before a long experiment, not after it.
pub fn ready(args: &Args) -> anyhow::Result<()> {
    if let Some(file) = &args.html {
        let opened = OpenOptions::new().append(true).create(true).open(file);
        opened.with_context(|| format!("--html {}: cannot be written", file.display()))?;
    }
    if let Some(folder) = &args.svg {
        fs::create_dir_all(folder).with_context(|| format!("--svg {}: cannot be made a folder", folder.display()))?;
    }
    Ok(())
}

/// Writes what was asked for.
pub fn write(args: &Args, report: &Report) -> anyhow::Result<()> {
    if let Some(file) = &args.html {
        let command: Vec<OsString> = std::env::args_os().collect();
        put(file, &page::page(report, &command))?;
    }
    if let Some(folder) = &args.svg {
        for plot in Plots::of(report).plots {
            put(&folder.join(&plot.id).with_extension("svg"), &chart::file(&plot))?;
        }
    }
    Ok(())
}

fn put(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("{}: cannot be written", file.display()))
}
