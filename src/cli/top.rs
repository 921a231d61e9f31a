//! `testudo top`: the fleet, what becomes of its devices, and the gangs that wait; live, or once.

mod answer;
mod screen;
mod scroll;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Drain;

use anyhow::Context;
use kube::Client;
use prometheus_client::registry::Registry;
use testudo_core::engine::{PlacementPolicy, Policy};
use testudo_core::model::catalogue::Catalogue;

use super::Outcome;
use super::follow::Following;
use super::output::Output;
use super::progress::while_working;
use super::source::{Source, host_of};
use crate::config::Mode;
use crate::host::{Bindings, Host};
use crate::k8s::client::Retries;
use crate::k8s::watch::ClusterEvent;
use crate::overview::{Overview, Prices};
use answer::Answer;

/// Flags of `testudo top`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Print one table and end, also on a terminal.
    #[arg(long)]
    once: bool,
    /// What nodes cost: a YAML file with `currency`, and `prices`, a list of `instanceType`, `perHour` of one node, and
    /// maybe `capacityType` (on-demand, spot or reserved). Without it, cost is told in GPU-hours.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// How often the live view is drawn anew.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// How the answer is written; JSON is written once.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    if range.contains(&interval) { Ok(interval) } else { Err("give a time from 100ms to 1h".into()) }
}

/// Shows the fleet.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let prices = args.prices.as_deref().map(Prices::load).transpose()?;
    let answer = |host: &Host| {
        let (snapshot, gangs) = host.gangs();
        Answer::new(&Overview::of(&snapshot, gangs), prices.as_ref())
    };
    let is_live = std::io::stdout().is_terminal() && !args.once && args.output == Output::Table;
    if !is_live {
        let answer = answer(&host_of(args.source.listed_manifests()?, PlacementPolicy::default())?);
        args.output.write(&answer, |out| answer.table(out))?;
        return Ok(Outcome::Done);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("cannot start threads")?;
    let host = match args.source.manifests()? {
        Some(manifests) => Arc::new(host_of(manifests, PlacementPolicy::default())?),
        None => while_working("listing the cluster", || {
            runtime.block_on(async { followed(args.source.connect(Retries::ByCaller).await?).await })
        })?,
    };
    screen::show(&args.source.to_string(), args.interval, || {
        runtime.block_on(host.settle_gangs());
        answer(&host)
    })?;
    // The watch goes on as long as the program does.
    runtime.shutdown_background();
    Ok(Outcome::Done)
}

/// A host that knows the cluster, and follows it.
async fn followed(client: Client) -> anyhow::Result<Arc<Host>> {
    let mut following = Following::begin(client).await?;
    let mut registry = Registry::default();
    let host = Host::new(Policy::default(), Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, &mut registry);
    let host = Arc::new(host);
    let take = |batch: Drain<'_, ClusterEvent>| {
        host.take(batch);
        host.is_synced().is_ok()
    };
    following.until_listed(take).await?;
    let follower = Arc::clone(&host);
    tokio::spawn(async move {
        while let Some(batch) = following.next().await {
            follower.take(batch);
        }
    });
    Ok(host)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::time::{sleep, timeout};

    use super::super::follow::CANNOT_LIST;
    use super::*;
    use crate::k8s::mock::{ApiServer, failure};
    use crate::web::view::testing::gpu_node;

    fn version() -> (u16, String) {
        let fields = [
            "major",
            "minor",
            "gitVersion",
            "gitCommit",
            "gitTreeState",
            "buildDate",
            "goVersion",
            "compiler",
            "platform",
        ];
        let known: serde_json::Map<String, Value> = fields.iter().map(|field| ((*field).into(), json!("1"))).collect();
        (200, Value::Object(known).to_string())
    }

    fn list(items: &[Value]) -> (u16, String) {
        let metadata = json!({"resourceVersion": "1"});
        (200, json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}).to_string())
    }

    async fn error_of(server: ApiServer) -> String {
        let followed = timeout(Duration::from_secs(20), followed(server.client)).await.expect("it does not wait");
        format!("{:#}", followed.err().expect("nothing can be shown"))
    }

    #[tokio::test]
    async fn a_cluster_that_cannot_be_seen_is_an_error_and_no_empty_fleet() {
        let away = ApiServer::new(|_| Some((0, "connection refused".into())));
        let error = error_of(away).await;
        assert!(error.contains("the API server does not answer") && error.contains("connection refused"), "{error}");
        for kind in ["nodes", "pods"] {
            let refusing = ApiServer::new(move |request| {
                Some(match request {
                    request if request.contains("/version") => version(),
                    request if request.contains(kind) => failure(403, "Forbidden", "User cannot list it"),
                    _ => list(&[]),
                })
            });
            let error = error_of(refusing).await;
            assert!(error.contains(CANNOT_LIST) && error.contains("User cannot list it"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_is_there_is_there_from_the_first_look_and_devices_of_claims_follow() {
        let (node, slice) = gpu_node("n", 2);
        let node = serde_json::to_value(node).expect("a node");
        let server = ApiServer::new(move |request| match request {
            request if request.contains("watch=true") => None,
            request if request.contains("/version") => Some(version()),
            request if request.starts_with("GET /apis") && !request.contains("/apis/") => {
                Some((200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}).to_string()))
            }
            request if request.contains("/nodes") => Some(list(std::slice::from_ref(&node))),
            request if request.contains("/resourceslices") => Some(list(std::slice::from_ref(&slice))),
            _ => Some(list(&[])),
        });
        let host = followed(server.client).await.expect("it can be followed");
        let look = || {
            let (snapshot, gangs) = host.gangs();
            Overview::of(&snapshot, gangs)
        };
        let nodes = |overview: &Overview| overview.accelerator_nodes() + overview.other_nodes;
        assert_eq!(nodes(&look()), 1);
        let devices = async {
            while look().accelerator_nodes() == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), devices).await.expect("the node's GPUs are seen");
    }
}
