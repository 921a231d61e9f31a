//! Prometheus scrapes a testudo that has something to tell, and what the chart ships for it, alerts and dashboard, asks for
//! what is there.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::manifests::workspace;
use testudo_e2e::node_group::NODE_GROUP_LABEL;
use testudo_e2e::prometheus::{Prometheus, Scrape};
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Namespace, node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("observability::prometheus_scrapes_what_alerts_and_dashboard_ask_for", prometheus_scrapes)]
}

async fn prometheus_scrapes(d: Arc<Deployed>) -> Result<()> {
    let name = "scraped";
    let quota =
        "apiVersion: policy.testudo.dev/v1alpha1\nkind: PlacementPolicy\nquotas: [{namespaces: [scraped], gpus: 64}]\n";
    let policy = d.cp.dir().write("scraped/policy.yaml", quota)?;
    let pair = d.pair_with(name, &[("/policyFile", json!(policy))]).await?;
    let ns = d.cp.namespace(name).await?;
    let h100 = |name: &str| node(name).product("NVIDIA-H100-80GB-HBM3", 81559).label(NODE_GROUP_LABEL, "scraped");
    ns.create_nodes((0..2).map(|at| h100(&format!("scraped-{at}")).gpus(8))).await?;
    ns.create_node(h100("scraped-mig").gpus(1).mig_mixed(&[("3g.40gb", 1), ("1g.10gb", 4)])).await?;
    ns.create(pod("one").gpus(1).scheduler(name)).await?;
    ns.until_running("one").await?;
    wait_with_a_gang(&ns, name).await?;

    let (_, target) = pair.testudo.metrics().url().split_once("://").context("a URL without a scheme")?;
    let scrape = Scrape {
        job: "testudo".into(),
        targets: vec![target.to_owned()],
        rules: vec![workspace().join("deploy/chart/testudo/files/alerts.yaml")],
    };
    let prometheus = Prometheus::start(d.cp.dir(), &scrape).await?;
    wait::until("the target to be up", PATIENCE, async || {
        let targets = prometheus.targets().await?;
        let target = &targets[0];
        // It is not there yet in the first moment.
        let error = target["lastError"].as_str().unwrap_or_default();
        ensure!(error.is_empty(), "the scrape failed: {error}");
        Ok(if target["health"] == "up" { Look::Done(()) } else { Look::NotYet(target.to_string()) })
    })
    .await?;
    every_metric_of_the_reference_was_scraped(&prometheus).await?;
    a_decision_is_seen_as_it_was(&prometheus, &ns).await?;
    rules_are_evaluated(&prometheus).await?;
    dashboards_have_answers(&prometheus).await?;
    ns.clear().await
}

/// A gang of which a member is missing.
async fn wait_with_a_gang(ns: &Namespace, scheduler: &str) -> Result<()> {
    let member = pod("rank-0").gpus(8).scheduler(scheduler).gate("testudo.dev/gang");
    let member = member.annotation("testudo.dev/pod-group", "llama").annotation("testudo.dev/min-member", "2");
    ns.create(member).await.map(drop)
}

async fn every_metric_of_the_reference_was_scraped(prometheus: &Prometheus) -> Result<()> {
    let reference = std::fs::read_to_string(workspace().join("docs/metrics.md"))?;
    let known = prometheus.metadata().await?;
    let mut seen = 0;
    for row in reference.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, rest) = row.split_once("` | ").context("a row without a type")?;
        let kind = rest.split(" |").next().unwrap_or_default();
        // Metadata has the name of the family.
        let family = name.strip_suffix("_total").filter(|_| kind == "counter").unwrap_or(name);
        let found = &known[family][0]["type"];
        ensure!(found == kind, "{family} is {kind} in docs/metrics.md and {found} to Prometheus");
        seen += 1;
    }
    ensure!(seen > 30, "only {seen} metrics in docs/metrics.md");
    Ok(())
}

async fn a_decision_is_seen_as_it_was(prometheus: &Prometheus, ns: &Namespace) -> Result<()> {
    for (query, wanted) in [
        (r#"testudo_bindings_total{outcome="bound"}"#, 1.0),
        ("testudo_leader", 1.0),
        (r#"sum(testudo_ledger_differences)"#, 0.0),
        (
            r#"testudo_waiting_gangs{reason="members_missing",age="under_1m"} or testudo_waiting_gangs{reason="members_missing",age="under_10m"}"#,
            1.0,
        ),
        (r#"testudo_quota{namespace="scraped",item="gpus",state="limit"}"#, 64.0),
        (r#"testudo_pool_profile_fragmentation_ratio{pool="scraped",profile="3g.40gb"}"#, 0.5),
        (r#"min(testudo_watch_silence_seconds{resource=~"nodes|pods"}) < bool 120"#, 1.0),
        (r#"count(testudo_watch_silence_seconds{resource=~"nodes|pods"})"#, 2.0),
    ] {
        wait::until(&format!("{query} to be {wanted}"), PATIENCE, async || {
            let found = prometheus.query(query).await?;
            let value = found.first().and_then(|series| series["value"][1].as_str()?.parse::<f64>().ok());
            Ok(if value == Some(wanted) { Look::Done(()) } else { Look::NotYet(format!("{found:?}")) })
        })
        .await
        .with_context(|| format!("in {}", ns.name()))?;
    }
    Ok(())
}

async fn rules_are_evaluated(prometheus: &Prometheus) -> Result<()> {
    let groups = wait::until("all rules to be evaluated", PATIENCE, async || {
        let groups = prometheus.rules().await?;
        let rules: Vec<Value> = groups[0]["rules"].as_array().cloned().unwrap_or_default();
        let waits = rules.iter().any(|rule| rule["health"] == "unknown");
        Ok(if rules.is_empty() || waits { Look::NotYet(groups.to_string()) } else { Look::Done(rules) })
    })
    .await?;
    for rule in &groups {
        ensure!(rule["health"] == "ok", "{}: {}", rule["name"], rule["lastError"]);
        ensure!(rule["state"] != "firing", "{} fires in a healthy cluster: {rule}", rule["name"]);
    }
    Ok(())
}

/// Every panel asks something that Prometheus understands, and what is about the state has an answer.
async fn dashboards_have_answers(prometheus: &Prometheus) -> Result<()> {
    let dashboard = std::fs::read_to_string(workspace().join("deploy/chart/testudo/files/dashboard.json"))?;
    let dashboard: Value = serde_json::from_str(&dashboard)?;
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().context("a target without a query")?;
            let is_state = !query.contains("$__rate_interval") && !query.contains("[1h]");
            let query = query.replace("$job", "testudo").replace("$__rate_interval", "1m");
            let found = prometheus.query(&query).await.with_context(|| format!("panel {}", panel["title"]))?;
            ensure!(!is_state || !found.is_empty(), "panel {}: {query} finds nothing", panel["title"]);
            asked += 1;
        }
    }
    ensure!(asked > 15, "only {asked} queries");
    Ok(())
}
