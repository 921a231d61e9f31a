//! Two schedulers that allocate claims in one cluster: kube-scheduler as it is, and testudo's. Behind the fence no device is
//! given twice; without it what is given twice is found, and told where people look.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::resource::v1::ResourceClaim;
use kube::api::PostParams;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::devices::{self, GPUS, request};
use testudo_e2e::doubles::{Double, DoubleWatch};
use testudo_e2e::namespace::SCENARIO_LABEL;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Metrics, Namespace, PodBuilder, Scheduler, SchedulerConfig, Version, chart, node, pod};

use super::{FOUND_WITHIN, LONG, Setting, number};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    // Alone: policies of the whole cluster, and load under which others are late.
    let mut scenarios = vec![stage.long("claims::two_schedulers_without_a_fence", LONG, without_a_fence)];
    // The fence needs MutatingAdmissionPolicy.
    if matches!(Version::from_env(), Ok(Version::V1_36)) {
        scenarios.push(stage.deployed_alone("claims::two_schedulers_and_the_fence", with_the_fence));
    }
    scenarios
}

/// How many claims there are in all: `TESTUDO_E2E_CLAIMS` in the environment, else fewer.
fn claims() -> Result<usize> {
    Ok(number("TESTUDO_E2E_CLAIMS", 120)? as usize)
}

/// Claims and pods are created so many at a time.
const AT_A_TIME: usize = 16;

/// Two schedulers, each with a namespace and a class of its own for the same devices.
struct Both {
    /// Testudo's side.
    ours: Setting,
    /// The other side's namespace, class and scheduler.
    theirs: Namespace,
    class: String,
    _scheduler: Scheduler,
    scheduler: String,
    /// How many claims each of them has.
    each: usize,
}

impl Both {
    async fn new(d: &Deployed, name: &str, fence: Option<&str>) -> Result<Self> {
        let ours = Setting::behind(d, name, fence).await?.patient();
        let theirs = d.cp.namespace(&format!("{name}-other")).await?.with_patience(LONG);
        // A class is no fence: this one selects the same devices.
        let class = format!("{name}-other-gpu");
        d.cp.apply(devices::class(&class, "gpu")).await?;
        let scheduler = format!("{name}-other-scheduler");
        let _scheduler = Scheduler::start(&d.cp, &SchedulerConfig::default().named(&scheduler)).await?;
        Ok(Self { ours, theirs, class, _scheduler, scheduler, each: claims()? / 2 })
    }

    /// Nodes with this taint that have devices for all claims of one side.
    async fn nodes(&self, name: &str, sides: usize, taint: Option<&str>) -> Result<Vec<String>> {
        let names: Vec<String> =
            (0..(sides * self.each).div_ceil(GPUS)).map(|at| self.ours.node_name(&format!("{name}-{at}"))).collect();
        let nodes = names.iter().map(|name| {
            let node = node(name);
            taint.map_or(node.clone(), |taint| node.taint(taint, "", "NoSchedule"))
        });
        self.ours.nodes(nodes, devices::whole_gpus).await?;
        Ok(names)
    }

    fn pod_of_theirs(&self, name: &str) -> PodBuilder {
        pod(name).scheduler(&self.scheduler).anywhere().selector(SCENARIO_LABEL, self.ours.ns.name())
    }

    /// Both sides ask for all that they want at the same time; returns when all pods run.
    async fn contend(&self) -> Result<()> {
        let names: Vec<String> = (0..self.each).map(|at| format!("pod-{at}")).collect();
        let ours = async {
            create_claims(&self.ours.ns, &self.ours.gpu, &names).await?;
            self.ours.ns.create_at_once(names.iter().map(|name| self.ours.pod(name).device_claim(name))).await
        };
        let theirs = async {
            create_claims(&self.theirs, &self.class, &names).await?;
            self.theirs.create_at_once(names.iter().map(|name| self.pod_of_theirs(name).device_claim(name))).await
        };
        let (ours, theirs) = tokio::join!(ours, theirs);
        ours.and(theirs)?;
        for side in [&self.ours.ns, &self.theirs] {
            side.until_count_bound(self.each).await?;
            side.until_all_running(&names).await?;
        }
        Ok(())
    }

    fn namespaces(&self) -> [&str; 2] {
        [self.ours.ns.name(), self.theirs.name()]
    }

    async fn end(self) -> Result<()> {
        self.theirs.clear_pods().await?;
        self.ours.ns.clear().await
    }
}

async fn create_claims(ns: &Namespace, class: &str, names: &[String]) -> Result<()> {
    let claims = ns.device_claims();
    let create = |name: &String| {
        let claim = devices::claim(ns.name(), name, vec![request("r", class, 1, None)], vec![]);
        let claims = claims.clone();
        async move {
            let claim: ResourceClaim = serde_json::from_value(claim).context("a claim")?;
            claims.create(&PostParams::default(), &claim).await.context("cannot create a claim")
        }
    };
    stream::iter(names.iter().map(create)).buffered(AT_A_TIME).try_for_each(async |_| Ok(())).await
}

async fn with_the_fence(d: Arc<Deployed>) -> Result<()> {
    let taint = "e2e.testudo.dev/claims-fenced";
    let both = Both::new(&d, "claims-fenced", Some(taint)).await?;
    let fenced: BTreeSet<String> = both.nodes("in", 1, Some(taint)).await?.into_iter().collect();
    both.nodes("out", 1, None).await?;
    let policies = raise_fence(&d, &both, taint).await?;

    // Who could reach behind the fence is refused.
    let stray = devices::claim(both.theirs.name(), "stray", vec![request("r", &both.ours.gpu, 1, None)], vec![]);
    let intruder = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "intruder", "namespace": both.theirs.name()},
        "spec": {
            "schedulerName": both.scheduler,
            "tolerations": [{"key": taint, "operator": "Exists"}],
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
            "containers": [{"name": "main", "image": "example.invalid/workload"}],
        },
    });
    for object in [stray, intruder] {
        wait::until("the fence to be there", PATIENCE, async || {
            let refused = d.cp.try_create(object.clone()).await?.is_err();
            Ok(if refused { Look::Done(()) } else { Look::NotYet("what it is against is accepted".into()) })
        })
        .await?;
    }

    // Whoever belongs there is let in: that is a policy of its own.
    wait::until("pods of ours to tolerate the fence", PATIENCE, async || {
        let spec = both.ours.ns.dry_run(both.ours.pod("probe").device_claim("probe")).await?.spec;
        let tolerations = spec.and_then(|spec| spec.tolerations).unwrap_or_default();
        let is_let_in = tolerations.iter().any(|toleration| toleration.key.as_deref() == Some(taint));
        Ok(if is_let_in { Look::Done(()) } else { Look::NotYet(format!("{tolerations:?}")) })
    })
    .await?;

    let doubles = DoubleWatch::start(&d.cp).await?;
    let begin = Instant::now();
    both.contend().await?;
    eprintln!("testudo-e2e: {} claims of two schedulers, behind a fence: {:?}", 2 * both.each, begin.elapsed());
    let twice = doubles.of(&both.namespaces());
    ensure!(twice.is_empty(), "{} devices were given twice in spite of the fence: {:?}", twice.len(), twice.first());
    for (side, is_inside) in [(&both.ours.ns, true), (&both.theirs, false)] {
        side.check_devices(&d.cp).await?;
        let strays = side.placements().await?.into_iter().filter(|(_, node)| fenced.contains(node) != is_inside);
        let strays: Vec<(String, String)> = strays.collect();
        ensure!(strays.is_empty(), "on the wrong side of the fence: {strays:?}");
    }
    for policy in policies.into_iter().rev() {
        d.cp.delete(policy).await?;
    }
    both.end().await
}

/// The chart's fence around nodes with this taint, for our side only, under a name of its own.
async fn raise_fence(d: &Deployed, both: &Both, taint: &str) -> Result<Vec<Value>> {
    let values = [
        "policies.fence.enabled=true".to_owned(),
        format!("policies.fence.taint={taint}"),
        format!("policies.fence.deviceClasses={{{}}}", both.ours.gpu),
        format!("scheduler.name={}", both.ours.scheduler),
    ];
    let mut policies = chart::render(&values.each_ref().map(String::as_str))?;
    policies.retain(|it| it["kind"].as_str().is_some_and(|kind| kind.contains("AdmissionPolicy")));
    ensure!(policies.len() == 6, "three policies with their bindings");
    for policy in &mut policies {
        for name in ["/metadata/name", "/spec/policyName"] {
            if let Some(name) = policy.pointer_mut(name) {
                *name = json!(format!("{}-{}", both.ours.ns.name(), name.as_str().unwrap_or_default()));
            }
        }
        d.cp.apply(policy.clone()).await?;
    }
    let labels = json!({"testudo.dev/scheduling": "required"});
    let metadata = json!({"name": both.ours.ns.name(), "labels": labels});
    d.cp.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await?;
    Ok(policies)
}

async fn without_a_fence(d: Arc<Deployed>) -> Result<()> {
    let both = Both::new(&d, "claims-unfenced", None).await?;
    both.nodes("a", 2, None).await?;
    let watch = DoubleWatch::start(&d.cp).await?;
    let begin = Instant::now();
    both.contend().await?;
    let took = begin.elapsed();
    // What of ours had not started has given way.
    wait::until("what was given twice to be settled", PATIENCE, async || {
        let unstarted = both.ours.ns.holdings().await?.into_iter().filter(|holding| holding.users.is_empty());
        let unstarted: BTreeSet<String> = unstarted.map(|holding| holding.claim).collect();
        let open = watch
            .of(&both.namespaces())
            .into_iter()
            .find(|double| double.until.is_none() && double.claims.iter().any(|claim| unstarted.contains(claim)));
        Ok(open.map_or(Look::Done(()), |open| Look::NotYet(format!("{open:?}"))))
    })
    .await?;
    let doubles = watch.of(&both.namespaces());
    let open = doubles.iter().filter(|double| double.until.is_none()).count();
    let (all, claims) = (doubles.len(), 2 * both.each);
    eprintln!(
        "testudo-e2e: {claims} claims of two schedulers, no fence: {took:?}, {all} devices given twice, {open} still"
    );
    let theirs =
        doubles.iter().filter(|double| double.claims.iter().all(|claim| claim.starts_with(both.theirs.name())));
    eprintln!("testudo-e2e: {} of them to claims of the other scheduler alone", theirs.count());
    let late: Vec<String> =
        doubles.iter().filter(|double| !is_found_in_time(&watch, double)).map(|late| when_told(&watch, late)).collect();
    ensure!(late.is_empty(), "{} of {all} were not found in time: {late:#?}", late.len());
    let metrics = Metrics::read(both.ours.pair.testudo.metrics()).await?;
    let told = metrics.count("testudo_claim_events_total", &[("outcome", "device_given_twice")])?;
    ensure!(told as usize >= all, "{told} claims were counted for {all} devices");
    both.end().await
}

/// When the pods that had the device showed it, and when that was over.
fn when_told(watch: &DoubleWatch, double: &Double) -> String {
    let after = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(double.since));
    let told: Vec<_> = double.claims.iter().map(|pod| (pod, after(watch.told(pod)))).collect();
    format!("{:?} of {told:?}, over after {:?}", double.device, after(double.until))
}

/// Did all pods that have the device show it soon? What was over before is no news any more.
fn is_found_in_time(watch: &DoubleWatch, double: &Double) -> bool {
    let due = double.since + FOUND_WITHIN;
    // A pod is called as its claim is.
    let is_told = |pod: &String| watch.told(pod).is_some_and(|told| told <= due);
    double.until.is_some_and(|until| until <= due) || double.claims.iter().all(is_told)
}
