//! Claims on the page: which devices they have and where these lie, and why one waits.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testudo_e2e::browser::Browser;
use testudo_e2e::devices::{self, request};

use super::{Demo, shot};

const CONFIG: &str = "apiVersion: config.testudo.dev/v1alpha1\nkind: TestudoConfiguration\n\
                      claims: {deviceClasses: [gpu.nvidia.com, mig.nvidia.com]}\n";

/// A node with whole GPUs and one that is cut on demand, claims that have devices of both, and one that asks for too many.
fn cluster() -> Value {
    let node = |name: &str| {
        let amounts = json!({"cpu": "192", "memory": "2Ti", "pods": "110"});
        let labels = json!({"node.kubernetes.io/instance-type": "p5.48xlarge", "topology.kubernetes.io/zone": "eu-1a"});
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": {"capacity": amounts, "allocatable": amounts}})
    };
    let pod = |name: &str, node: Option<&str>| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "team"},
            "spec": {"nodeName": node, "schedulerName": "testudo-scheduler", "containers": [{"name": "main"}],
                "resourceClaims": [{"name": "gpu", "resourceClaimName": name}]},
        })
    };
    let claim = |name: &str, class: &str, count: usize, pool: &str, given: &[&str]| {
        let mut claim = devices::claim("team", name, vec![request("r", class, count, None)], vec![]);
        claim["metadata"]["uid"] = json!(format!("claim-{name}"));
        let result = |device: &&str| json!({"request": "r", "driver": devices::DRIVER, "pool": pool, "device": device});
        if !given.is_empty() {
            claim["status"] =
                json!({"allocation": {"devices": {"results": given.iter().map(result).collect::<Value>()}}});
        }
        claim
    };
    let mut items = vec![
        node("whole-1"),
        node("sliced-1"),
        devices::class("gpu.nvidia.com", "gpu"),
        devices::class("mig.nvidia.com", "mig"),
    ];
    items.extend(devices::whole_gpus("whole-1"));
    items.extend(devices::dynamic_mig("sliced-1"));
    let given = [
        ("chat", "gpu.nvidia.com", "whole-1", vec!["gpu-2", "gpu-3"]),
        ("rank", "gpu.nvidia.com", "whole-1", vec!["gpu-7"]),
        ("small", "mig.nvidia.com", "sliced-1", vec!["gpu-0-mig-1g10gb-19-6"]),
        ("half", "mig.nvidia.com", "sliced-1", vec!["gpu-0-mig-3g40gb-9-0"]),
        ("whole", "gpu.nvidia.com", "sliced-1", vec!["gpu-4"]),
    ];
    for (name, class, pool, devices) in given {
        items.push(claim(name, class, devices.len(), pool, &devices));
        items.push(pod(name, Some(pool)));
    }
    items.push(claim("greedy", "gpu.nvidia.com", 8, "", &[]));
    items.push(pod("greedy", None));
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// Pods with claims of a template fit as far as there are devices for them: five whole GPUs are free where GPUs are whole.
async fn what_if(browser: &Browser) -> Result<()> {
    let manifest = |template: &str| {
        let pods = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: chat, namespace: team}\nspec: {replicas: 3, template: \
                    {spec: {containers: [{name: main}], resourceClaims: [{name: gpus, resourceClaimTemplateName: four}]}}}\n";
        let spec = "{devices: {requests: [{name: r, exactly: {deviceClassName: gpu.nvidia.com, count: 4}}]}}";
        format!(
            "{pods}---\napiVersion: resource.k8s.io/v1\nkind: ResourceClaimTemplate\nmetadata: {{name: {template}, namespace: \
             team}}\nspec: {{spec: {spec}}}\n"
        )
    };
    browser.value("location.hash = '#/what-if'").await?;
    browser.until("the box", "document.getElementById('manifest') !== null").await?;
    for (template, expected) in
        [("four", "no node has free devices: claim gpus needs 4 devices"), ("five", "is not known")]
    {
        let text = manifest(template);
        browser.value(&format!("(() => {{ const box = document.getElementById('manifest'); box.value = {text:?}; box.dispatchEvent(new Event('input')); document.getElementById('what-if-result').replaceChildren(); }})()")).await?;
        browser.click("#try").await?;
        let answer = browser.until("an answer", "document.getElementById('what-if-result').textContent").await?;
        let answer = answer.as_str().unwrap_or_default();
        ensure!(answer.contains(expected), "{expected:?} is not in {answer}");
        ensure!(template == "five" || answer.contains("2 of 3 copies of 1 pod fit"), "{answer}");
        browser.screenshot(&shot(&format!("claims-what-if-{template}-dark"))?).await?;
    }
    // The second was answered with 422: that is not the page's mistake.
    browser.take_complaints();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_are_shown_with_their_devices_and_their_reasons() -> Result<()> {
    let served = Demo::on("cluster.json", &cluster().to_string(), CONFIG)?;
    let browser = served.open("dark").await?;
    let row = "document.querySelector('[data-key=\"claim team/greedy\"]')?.textContent ?? ''";
    let row =
        browser.until("the claim that waits", &format!("(({row}).includes('needs 8 devices') && ({row}))")).await?;
    ensure!(row.as_str().is_some_and(|text| text.contains("8 gpu.nvidia.com")), "{row}");
    browser
        .until("the figures", "document.getElementById('figures').textContent.includes('Nodes with devices2')")
        .await?;
    browser.screenshot(&shot("claims-dark")?).await?;

    browser.click("[data-key='claim team/greedy']").await?;
    let places = "document.querySelector('.answer')?.textContent ?? ''";
    let places =
        browser.until("where it comes nearest", &format!("(({places}).includes('As of') && ({places}))")).await?;
    ensure!(places.as_str().is_some_and(|text| text.contains("3 in use")), "{places}");
    browser.screenshot(&shot("claim-dark")?).await?;

    // Partitions lie where their names say: a half from slice 0 on, the small one last.
    browser.value("location.hash = '#/node/sliced-1'").await?;
    let drawn = "[...document.querySelectorAll('.node-picture rect')].filter((rect) => rect.querySelector('title')).map((rect) => \
                 [rect.querySelector('title').textContent, Math.round(rect.getAttribute('x')), Math.round(rect.getAttribute('width'))])";
    let drawn = browser.until("its picture", &format!("(({drawn}).length === 3 && ({drawn}))")).await?;
    let at = |name: &str| drawn.as_array().into_iter().flatten().find(|drawn| drawn[0] == format!("team/{name}"));
    let (half, small) = (at("half").cloned().unwrap_or_default(), at("small").cloned().unwrap_or_default());
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    ensure!(number(&half[1]) < number(&small[1]), "{drawn}");
    ensure!(
        (3..=5).contains(&(number(&half[2]) / number(&small[2]).max(1))),
        "four slices are as wide as four: {drawn}"
    );
    browser.screenshot(&shot("claims-node-dark")?).await?;
    browser.value("location.hash = '#/node/whole-1'").await?;
    browser
        .until(
            "its devices",
            "[...document.querySelectorAll('.detail td.mono')].some((cell) => cell.textContent === 'gpu-7')",
        )
        .await?;
    browser.screenshot(&shot("claims-whole-dark")?).await?;
    what_if(&browser).await?;
    ensure!(browser.take_complaints().is_empty(), "{:?}", browser.take_complaints());
    Ok(())
}
