//! `testudo check`: what must be true, and what to do where it is not.

use std::io::Write;

use anyhow::Context;
use serde::Serialize;

use super::Outcome;
use super::output::{Output, table};
use super::snapshot;
use super::source::Source;
use crate::check::cluster::{self, Installed, slice_nodes};
use crate::check::{self, Finding, Status};
use crate::config::Configuration;
use crate::k8s::client::Retries;

/// Flags of `testudo check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Before the installation: look only at what must be there already.
    #[arg(long)]
    pre: bool,
    /// The namespace in which testudo is.
    #[arg(short, long, default_value = "testudo-system")]
    namespace: String,
    /// The name that its objects have: that of the release.
    #[arg(long, default_value = "testudo")]
    release: String,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Answer {
    findings: Vec<Finding>,
}

/// Looks at everything. Exit 1 when something does not work like this.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let objects = snapshot::take(&args.source)?;
    let findings = match args.source.files.is_empty() {
        true => {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
            runtime.block_on(of_cluster(&args, objects))?
        }
        false => {
            let (manifests, slices) = (objects.manifests(), slice_nodes(&objects.into_objects()));
            check::of_objects(&manifests, &slices, &Configuration::default(), None)
        }
    };
    let answer = Answer { findings };
    args.output.write(&answer, |out| answer.table(out))?;
    let has_failed = answer.findings.iter().any(|finding| finding.status == Status::Failed);
    Ok(if has_failed { Outcome::No } else { Outcome::Done })
}

async fn of_cluster(args: &Args, objects: crate::snapshot::Snapshot) -> anyhow::Result<Vec<Finding>> {
    let client = args.source.connect(Retries::ByClient).await?;
    let server = client.apiserver_version().await.context("the API server does not say its version")?.git_version;
    let (manifests, slices) = (objects.manifests(), slice_nodes(&objects.into_objects()));
    let mut findings = vec![check::of_version(&server)];
    if args.pre {
        findings.push(cluster::before(&client).await);
        findings.extend(check::of_nodes(&manifests, &slices));
        return Ok(findings);
    }
    let installed = Installed::look(&client, &args.namespace, &args.release, &server).await;
    let opted_in = cluster::opted_in(&client).await.ok();
    let configuration = installed.configuration.clone().unwrap_or_default();
    findings.extend(check::of_installation(&installed, &server));
    findings.extend(check::of_objects(&manifests, &slices, &configuration, opted_in.as_ref()));
    Ok(findings)
}

impl Answer {
    fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut rows = table();
        for finding in &self.findings {
            rows.add_row([finding.status.to_string(), finding.about.to_owned(), finding.what.clone()]);
            if let Some(advice) = finding.advice.as_ref().filter(|_| finding.status != Status::Ok) {
                rows.add_row([String::new(), String::new(), format!("-> {advice}")]);
            }
        }
        writeln!(out, "{rows}")?;
        let count = |status| self.findings.iter().filter(|finding| finding.status == status).count();
        let (failed, warnings, unknown) = (count(Status::Failed), count(Status::Warning), count(Status::Unknown));
        writeln!(out, "\n{failed} failed, {warnings} warnings, {unknown} not known, {} ok", count(Status::Ok))
    }
}
