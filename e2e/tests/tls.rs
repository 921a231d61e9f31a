//! Mutual TLS, as shipped: who has no certificate is not answered, and certificates change without a failure.

use std::cell::Cell;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::endpoint::Endpoint;
use testudo_e2e::pki::Authority;
use testudo_e2e::secret_mount::SecretMount;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Metrics, Testudo, node, pod};

use crate::deployed::{Deployed, adaptation};
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("tls::only_known_clients_are_answered", only_known_clients_are_answered),
        stage.deployed("tls::certificates_rotate_under_load", certificates_rotate_under_load),
    ]
}

const FILTER: &str = "/v1/filter";

async fn only_known_clients_are_answered(d: Arc<Deployed>) -> Result<()> {
    let testudo = &d.shared().await?.testudo;
    let (url, dir) = (testudo.url(), d.cp.dir());
    let stranger = Authority::new(dir, "stranger-ca")?.client(dir, "stranger", &[])?;
    let question = question("tls-a");
    for (who, client) in [("nobody", None), ("a stranger", Some(&stranger))] {
        let answer = Endpoint::new(url, Some(d.cp.authority()), client)?.post(FILTER, question.clone()).await;
        ensure!(answer.is_err(), "{who} was answered: {answer:?}");
    }
    let plain = Endpoint::new(&url.replace("https", "http"), None, None)?.post(FILTER, question.clone()).await;
    ensure!(!plain.as_ref().is_ok_and(|reply| reply.status == StatusCode::OK), "plain HTTP was answered: {plain:?}");
    let answer = testudo.api().post(FILTER, question).await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    ensure!(answer.body.contains("node not seen by testudo yet"), "{answer:?}");
    Ok(())
}

async fn certificates_rotate_under_load(d: Arc<Deployed>) -> Result<()> {
    let name = "rotation-scheduler";
    let (dir, old) = (d.cp.dir(), d.cp.authority());
    // From another authority, to tell by trust which certificate is shown.
    let new = Authority::new(dir, "rotation-ca")?;
    let mut mount = SecretMount::new(dir, "rotation", &old.server(dir, "rotation-old")?)?;
    let testudo = Testudo::start(&d.cp, d.testudo("testudo-rotation")?.serving(mount.files())).await?;
    let mut tls = testudo.extender().tls.context("testudo has no TLS")?;
    let client = tls.client.clone();
    tls.ca_file = dir.write("pki/rotation-bundle.crt", [fs::read(old.cert())?, fs::read(new.cert())?].concat())?;
    let mut shipped = adaptation(Some(name), &testudo);
    shipped.tls = Some(tls);
    let _scheduler = d.adapted_scheduler(&shipped).await?;
    let ns = d.cp.namespace("rotation").await?;
    ns.create_node(node("rotation-a").product("NVIDIA-L40S", 46068).gpus(8)).await?;
    let asking = |authorities: Vec<&Authority>| Endpoint::new(testudo.url(), authorities, client.as_ref());

    let (calls, done) = (Cell::new(0_u32), Cell::new(false));
    let kept = asking(vec![old, &new])?;
    let load = async {
        while !done.get() {
            // A connection that is kept, and one that is new.
            for endpoint in [&kept, &asking(vec![old, &new])?] {
                let reply = endpoint.post(FILTER, question("rotation-a")).await?;
                ensure!(reply.status == StatusCode::OK && reply.body.contains("rotation-a"), "{reply:?}");
            }
            calls.set(calls.get() + 1);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    let pods = async {
        let mut count = 0;
        while !done.get() {
            let pod_name = format!("rotation-{count}");
            ns.create(pod(&pod_name).gpus(1).scheduler(name)).await?;
            ns.until_running(&pod_name).await?;
            let events = ns.events_of(&pod_name).await?;
            ensure!(events.iter().all(|event| event.reason == "Scheduled"), "{events:?}");
            ns.delete(&pod_name).await?;
            count += 1;
        }
        Ok(count)
    };
    let rotation = async {
        until_calls(&calls, 10).await?;
        mount.replace(&new.server(dir, "rotation-new")?)?;
        wait::until("the new certificate", PATIENCE, async || {
            Ok(match asking(vec![&new])?.get("/readyz").await {
                Ok(reply) if reply.status == StatusCode::OK => Look::Done(()),
                other => Look::NotYet(format!("{other:?}")),
            })
        })
        .await?;
        until_calls(&calls, calls.get() + 10).await?;
        done.set(true);
        Ok(())
    };
    let ((), count, ()) = tokio::try_join!(load, pods, rotation)?;
    ensure!(count > 0, "no pod was placed meanwhile");
    ensure!(asking(vec![old])?.get("/readyz").await.is_err(), "the old certificate is still shown");
    ns.create(pod("after").gpus(1).scheduler(name)).await?;
    ns.until_running("after").await?;
    let metrics = Metrics::read(testudo.metrics()).await?;
    let reloads = |outcome| metrics.count("testudo_extender_certificate_reloads_total", &[("outcome", outcome)]);
    ensure!((reloads("ok")?, reloads("failed")?) == (1, 0));
    ns.clear().await
}

async fn until_calls(calls: &Cell<u32>, wanted: u32) -> Result<()> {
    wait::until(&format!("{wanted} calls"), PATIENCE, async || {
        Ok(if calls.get() >= wanted { Look::Done(()) } else { Look::NotYet(format!("{}", calls.get())) })
    })
    .await
}

/// May a pod of one GPU go to this node?
fn question(node: &str) -> Vec<u8> {
    let gpu = json!({ "nvidia.com/gpu": "1" });
    let pod = json!({
        "metadata": { "name": "asked", "namespace": "default", "uid": "00000000-0000-0000-0000-000000000000" },
        "spec": { "containers": [{ "name": "main", "resources": { "requests": gpu, "limits": gpu } }] },
    });
    json!({ "Pod": pod, "NodeNames": [node] }).to_string().into_bytes()
}
