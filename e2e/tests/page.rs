//! Who may see the page where it asks for tokens, by the word of a real API server.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::endpoint::Endpoint;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{ControlPlane, Namespace, Testudo, chart};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("page::is_shown_to_who_may_see_it", is_shown_to_who_may_see_it),
        stage.deployed("page::takes_tokens_for_its_audience_only", takes_tokens_for_its_audience_only),
    ]
}

const FLEET: &str = "/api/v1alpha1/fleet";
const WHAT_IF: &str = "/api/v1alpha1/what-if";

/// A testudo whose page is configured like this, and the page.
async fn with_page(d: &Deployed, name: &str, web: Value) -> Result<(Testudo, Endpoint)> {
    let config = d.config(name, &[("/web", web)])?;
    let testudo = Testudo::start(&d.cp, d.testudo(&format!("testudo-{name}"))?.config(config).with_page()).await?;
    let address = testudo.page().context("no page")?;
    let page = Endpoint::new(&format!("https://{address}"), [d.cp.authority()], None)?;
    Ok((testudo, page))
}

/// The page's section as the chart writes it for an exposed page, with files of ours.
fn exposed(d: &Deployed, name: &str) -> Result<Value> {
    let rendered = chart::render(&["tls.method=secrets", "page.expose=true"])?;
    let config: Value = serde_saphyr::from_str(chart::file(&rendered, "testudo", "testudo.yaml")?)?;
    let mut web = config["web"].clone();
    ensure!(web["authentication"] == "token", "{web}");
    let files = d.cp.server_identity(&format!("{name}-page"))?;
    web["tls"] = json!({"certFile": files.cert, "keyFile": files.key});
    Ok(web)
}

async fn account(cp: &ControlPlane, namespace: &str, name: &str) -> Result<()> {
    let metadata = json!({"name": name, "namespace": namespace});
    cp.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})).await.map(drop)
}

/// Binds the chart's role for the page.
async fn let_see(cp: &ControlPlane, namespace: &str, name: &str) -> Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("{namespace}-{name}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "testudo-page"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    });
    cp.apply(binding).await.map(drop)
}

/// Shows the page to somebody who may see it.
pub async fn show_to_somebody(d: &Deployed, ns: &Namespace, scheduler: &str) -> Result<()> {
    account(&d.cp, ns.name(), "somebody").await?;
    let_see(&d.cp, ns.name(), "somebody").await?;
    let (_testudo, page) = with_page(d, scheduler, exposed(d, scheduler)?).await?;
    let token = d.cp.service_account_token(ns.name(), "somebody", None).await?;
    let shown = page.with_token(&token).get(FLEET).await?;
    ensure!(shown.status == 200, "{shown:?}");
    Ok(())
}

async fn is_shown_to_who_may_see_it(d: Arc<Deployed>) -> Result<()> {
    let ns = d.cp.namespace("page").await?;
    for name in ["viewer", "stranger"] {
        account(&d.cp, ns.name(), name).await?;
    }
    let_see(&d.cp, ns.name(), "viewer").await?;
    let (_testudo, page) = with_page(&d, "page-scheduler", exposed(&d, "page")?).await?;
    let token = async |name: &str| d.cp.service_account_token(ns.name(), name, None).await;
    let (viewer, stranger) = (page.with_token(&token("viewer").await?), page.with_token(&token("stranger").await?));

    for path in ["/", FLEET, "/js/main.js"] {
        ensure!(page.get(path).await?.status == 401, "{path} without a token");
        ensure!(page.with_token("made.up").get(path).await?.status == 401, "{path} with a token that is nobody's");
    }
    // Every account may read /api/... of the API server, and that must not be enough.
    let refused = stranger.get(FLEET).await?;
    ensure!(refused.status == 403 && refused.body.contains("stranger may not get /testudo/page"), "{refused:?}");
    for path in ["/", FLEET] {
        let shown = viewer.get(path).await?;
        ensure!(shown.status == 200, "{path}: {shown:?}");
    }
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i}]}\n";
    let tried = viewer.post(WHAT_IF, pod).await?;
    ensure!(tried.status == 200, "{tried:?}");
    ensure!(stranger.post(WHAT_IF, "{}").await?.status == 403);

    // A right that is given is seen within seconds.
    let_see(&d.cp, ns.name(), "stranger").await?;
    wait::until("the stranger to be let in", PATIENCE, async || {
        let reply = stranger.get(FLEET).await?;
        Ok(if reply.status == 200 { Look::Done(()) } else { Look::NotYet(format!("{}", reply.status)) })
    })
    .await?;
    ns.clear().await
}

async fn takes_tokens_for_its_audience_only(d: Arc<Deployed>) -> Result<()> {
    let ns = d.cp.namespace("page-audience").await?;
    account(&d.cp, ns.name(), "viewer").await?;
    let_see(&d.cp, ns.name(), "viewer").await?;
    let mut web = exposed(&d, "page-audience")?;
    web["audiences"] = json!(["testudo"]);
    let (_testudo, page) = with_page(&d, "page-audience-scheduler", web).await?;
    let token = async |audience| d.cp.service_account_token(ns.name(), "viewer", audience).await;
    let for_us = token(Some("testudo")).await?;
    ensure!(page.with_token(&for_us).get(FLEET).await?.status == 200);
    for other in [None, Some("vault")] {
        let reply = page.with_token(&token(other).await?).get(FLEET).await?;
        ensure!(reply.status == 401, "a token for {other:?}: {}", reply.status);
    }
    ns.clear().await
}
