//! `testudo demo`.

/// Flags of `testudo demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the demo.
pub fn run(_: Args) -> anyhow::Result<super::Outcome> {
    anyhow::bail!("the demo is not built in yet")
}
