//! Commands of the `testudo` binary that answer and end.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::kubeconfig::Kubeconfig;
use crate::testudo::binary;

/// What a command has answered.
#[derive(Debug)]
pub struct Answer {
    /// Exit 0: yes. Exit 1 is no; anything else is an error of [`ask`].
    pub is_yes: bool,
    /// The answer as JSON.
    pub json: Value,
}

/// Runs a command such as `explain pod team/x` on a cluster, as the user of a kubeconfig.
pub async fn ask(kubeconfig: &Kubeconfig, arguments: &[&str]) -> Result<Answer> {
    let mut command = Command::new(binary()?);
    command.args(arguments).arg("--kubeconfig").arg(kubeconfig.path()).args(["--output", "json"]).kill_on_drop(true);
    let output = command.output().await.context("cannot run testudo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    ensure!(matches!(code, Some(0 | 1)), "testudo {} ended with {code:?}: {said}", arguments.join(" "));
    let json = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("testudo {} wrote no JSON; it said {said}", arguments.join(" ")))?;
    Ok(Answer { is_yes: code == Some(0), json })
}
