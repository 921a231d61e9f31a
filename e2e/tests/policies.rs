//! The admission policies of `policies/`, on the real API server: what stands in good.yaml beside each is accepted, what
//! stands in bad.yaml is refused with the words that its annotation has.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use kube::api::DynamicObject;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo::k8s::{object, pod as decoding};
use testudo_e2e::manifests;
use testudo_e2e::secret_mount::ConfigMount;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{ControlPlane, Metrics, Namespace, Testudo, Version, chart, node, pod, ports};

use crate::deployed::Deployed;
use crate::stage::Stage;

/// What a refusal is to say.
const SAYS: &str = "policies.testudo.dev/says";

/// A label of objects that belong into a namespace which has not opted in.
const NAMESPACE: &str = "policies.testudo.dev/namespace";

/// Policies that ask nobody whether he has opted in.
const IN_THE_WHOLE_CLUSTER: [&str; 2] = ["fence", "promises"];

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("policies::good_is_accepted_and_bad_is_refused", good_is_accepted_and_bad_is_refused),
        stage.deployed(
            "policies::gang_annotations_are_judged_as_testudo_does",
            gang_annotations_are_judged_as_testudo_does,
        ),
        stage.deployed("policies::gangs_need_no_word_about_scheduling", gangs_need_no_word_about_scheduling),
        stage.deployed("policies::the_webhook_does_what_the_policy_does", the_webhook_does_what_the_policy_does),
        stage.deployed("policies::a_changed_placement_policy_is_taken_up", a_changed_placement_policy_is_taken_up),
        stage.scenario("policies::the_api_server_itself_wants_requests_equal_to_limits", requests_equal_limits),
        // It is in force in the whole cluster.
        stage.deployed_alone("policies::the_fence_holds", the_fence_holds),
    ]
}

/// A policy in force, with a namespace in which it is and one in which it is not.
struct InForce {
    cp: Arc<ControlPlane>,
    name: &'static str,
    policy: Vec<Value>,
    opted_in: Namespace,
    free: Namespace,
}

impl InForce {
    /// Applies the policy and waits until the API server has it.
    async fn start(cp: &Arc<ControlPlane>, name: &'static str) -> Result<Self> {
        let opted_in = opted_in(cp, &format!("policy-{name}")).await?;
        let free = cp.namespace(&format!("policy-{name}-free")).await?;
        let mut policy = documents(name, "policy.yaml")?;
        for document in &mut policy {
            // Who is only warned is refused here: what is said is the same, and comes back in the answer.
            if document["spec"]["validationActions"] == json!(["Warn", "Audit"]) {
                document["spec"]["validationActions"] = json!(["Deny"]);
            }
            cp.apply(document.clone()).await?;
        }
        Ok(Self { cp: Arc::clone(cp), name, policy, opted_in, free })
    }

    /// What becomes of an object of the folder.
    async fn tried(&self, mut document: Value) -> Result<Result<DynamicObject, String>> {
        let free = document["metadata"]["labels"][NAMESPACE] == "not-opted-in";
        let namespace = if free { &self.free } else { &self.opted_in };
        document["metadata"]["namespace"] = json!(namespace.name());
        self.cp.try_create(document).await
    }

    /// Whatever stands in this file is accepted; that is what becomes of it.
    async fn accepted(&self, file: &str) -> Result<Vec<DynamicObject>> {
        let mut accepted = Vec::new();
        for document in documents(self.name, file)? {
            let what = format!("{} of policies/{}/{file}", document["metadata"]["name"], self.name);
            let answer = self.tried(document).await?;
            accepted.push(answer.map_err(anyhow::Error::msg).with_context(|| format!("{what} is refused"))?);
        }
        Ok(accepted)
    }

    /// Whatever stands in bad.yaml is refused, for the reason that it names. The API server takes a moment to compile a
    /// new policy.
    async fn refused(&self) -> Result<()> {
        for document in documents(self.name, "bad.yaml")? {
            let (object, says) = (&document["metadata"]["name"], document["metadata"]["annotations"][SAYS].as_str());
            let says = says.with_context(|| format!("{object} has no annotation {SAYS}"))?;
            wait::until(&format!("{object} of policies/{}/bad.yaml to be refused", self.name), PATIENCE, async || {
                Ok(match self.tried(document.clone()).await? {
                    Err(message) if message.contains(says) => Look::Done(()),
                    Err(message) => Look::NotYet(format!("it is, with {message:?} instead of {says:?}")),
                    Ok(_) => Look::NotYet("it is accepted".to_owned()),
                })
            })
            .await?;
            // In a namespace that has not opted in the same is nobody's business.
            if document["metadata"]["labels"][NAMESPACE].is_null() && !IN_THE_WHOLE_CLUSTER.contains(&self.name) {
                let mut elsewhere = document.clone();
                elsewhere["metadata"]["labels"][NAMESPACE] = json!("not-opted-in");
                let answer = self.tried(elsewhere).await?;
                ensure!(answer.is_ok(), "{object} is refused in a namespace that has not opted in: {answer:?}");
            }
        }
        Ok(())
    }

    /// Takes the policy away, so that the next one is alone.
    async fn end(self) -> Result<()> {
        for document in self.policy.into_iter().rev() {
            self.cp.delete(document).await?;
        }
        Ok(())
    }
}

async fn good_is_accepted_and_bad_is_refused(d: Arc<Deployed>) -> Result<()> {
    for name in ["one-scheduler", "no-mixing", "claims-nodes", "gang-annotations", "promises", "gpu-serving"] {
        let policy = InForce::start(&d.cp, name).await?;
        policy.refused().await?;
        policy.accepted("good.yaml").await?;
        policy.end().await?;
    }
    Ok(())
}

/// The policy has the rules once more, in CEL: here both judge the same texts.
async fn gang_annotations_are_judged_as_testudo_does(d: Arc<Deployed>) -> Result<()> {
    // A name of its own: the policy that ships comes and goes with another scenario.
    let ns = d.cp.namespace("policy-texts").await?;
    for mut document in documents("gang-annotations", "policy.yaml")? {
        document["metadata"]["name"] = json!("e2e-texts");
        if document["kind"] == "ValidatingAdmissionPolicyBinding" {
            document["spec"]["policyName"] = json!("e2e-texts");
            let this = json!({ "kubernetes.io/metadata.name": ns.name() });
            document["spec"]["matchResources"]["namespaceSelector"] = json!({ "matchLabels": this });
        }
        d.cp.apply(document).await?;
    }
    let judged = async |key: &str, text: &str| {
        let annotations = json!({ format!("testudo.dev/{key}"): text });
        let metadata = json!({ "name": "texts", "namespace": ns.name(), "uid": "u", "annotations": annotations });
        let spec = json!({ "containers": [{ "name": "main", "image": "example.invalid/workload" }] });
        let document = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
        let ours: object::Pod = serde_json::from_value(document.clone())?;
        let ours = decoding::decode(&ours).1.iter().any(|problem| problem.blocking);
        anyhow::Ok((ours, d.cp.try_create(document).await?.err()))
    };
    wait::until("the policy to be in force", PATIENCE, async || {
        Ok(match judged("min-member", "two").await?.1 {
            Some(_) => Look::Done(()),
            None => Look::NotYet("nonsense is accepted".to_owned()),
        })
    })
    .await?;
    let long = "a".repeat(253);
    let too_long = "a".repeat(254);
    let label = format!("required=example.com/{}", "a".repeat(63));
    let many = ["required=node"; 3].join(",");
    let texts: &[(&str, &[&str])] = &[
        ("pod-group", &["a", "a-b_c.d", "-a", "a.", "", " a", "a b", "a/b", "ä", &long, &too_long]),
        ("role", &["prefill", "0", "", "prefill,decode", "-"]),
        ("min-member", &["1", "10000", "10001", "0", "-1", "", " 2 ", "+2", "++2", "2.0", "007", "2e3", "99999999999"]),
        ("tensor-parallel-size", &["1", "1024", "1025", "eight", "8 8"]),
        ("pipeline-parallel-size", &["1", "1024", "1025", "0x8"]),
        ("index", &["0", "9999", "10000", "-0", "one"]),
        (
            "hold-timeout",
            &[
                "1s", "999ms", "1000ms", "15m", "1h 30m", "1h30m", "7days", "7d", "8days", "1w", "2w", "", "15", "m",
                "1 s", "90 sec", "0s", "1hour", "10080m", "10081m", "-1s", "1x",
            ],
        ),
        (
            "topology",
            &[
                "required=node",
                "preferred=clique,required=zone",
                "required= region",
                "node",
                "required=",
                "Required=node",
                "required=a/b/c",
                "required=rack one",
                "required=topology.k8s.aws/network-node-layer-3",
                "required=node,",
                "required==node",
                &label,
                &format!("{label}a"),
                &many,
            ],
        ),
    ];
    for (key, texts) in texts {
        for text in *texts {
            let (ours, policy) = judged(key, text).await?;
            ensure!(
                ours == policy.is_some(),
                "testudo.dev/{key}: {text:?}: testudo refuses it: {ours}, the policy: {policy:?}"
            );
        }
    }
    Ok(())
}

/// Pods that only say that they are a gang get the rest, and start together.
async fn gangs_need_no_word_about_scheduling(d: Arc<Deployed>) -> Result<()> {
    if !mutates(&d.cp) {
        return Ok(());
    }
    let policy = InForce::start(&d.cp, "gangs").await?;
    wait::until("good.yaml of policies/gangs to be changed", PATIENCE, async || {
        for pod in policy.accepted("good.yaml").await? {
            let spec = &pod.data["spec"];
            let gates = spec["schedulingGates"].as_array().into_iter().flatten();
            let ours = gates.filter(|gate| gate["name"] == "testudo.dev/gang").count();
            if (spec["schedulerName"].as_str(), ours) != (Some("testudo-scheduler"), 1) {
                return Ok(Look::NotYet(format!("{spec}")));
            }
        }
        Ok(Look::Done(()))
    })
    .await?;
    for pod in policy.accepted("untouched.yaml").await? {
        ensure!(pod.data["spec"]["schedulingGates"].is_null(), "{pod:?}");
        ensure!(pod.data["spec"]["schedulerName"] != "testudo-scheduler", "{pod:?}");
    }

    d.shared().await?;
    let ns = &policy.opted_in;
    ns.create_nodes(["policy-gang-a", "policy-gang-b"].map(|name| node(name).product("NVIDIA-L40S", 46068).gpus(4)))
        .await?;
    let member = |name: &str| {
        let pod = pod(name).gpus(4).scheduler("default-scheduler");
        pod.annotation("testudo.dev/pod-group", "gang").annotation("testudo.dev/min-member", "2")
    };
    ns.create(member("gang-0")).await?;
    let first = ns.get("gang-0").await?;
    ensure!(first.spec.as_ref().is_some_and(|spec| spec.scheduling_gates.is_some()), "{first:?}");
    ns.create(member("gang-1")).await?;
    ns.until_all_running(&["gang-0", "gang-1"]).await?;
    ns.clear().await?;
    policy.end().await
}

/// The webhook of clusters below 1.36, which newer ones call as well.
async fn the_webhook_does_what_the_policy_does(d: Arc<Deployed>) -> Result<()> {
    let name = "webhook-scheduler";
    let address = format!("127.0.0.1:{}", ports::free_port()?);
    let options = d.testudo("testudo-webhook")?.config(d.config(name, &[])?);
    let mut testudo = Testudo::start(&d.cp, options.arg(format!("--webhook-bind-address={address}"))).await?;
    let _scheduler = d.scheduler(Some(name), &testudo).await?;
    let ns = d.cp.namespace("policy-webhook").await?;
    let scheduler = format!("scheduler.name={name}");
    let values = ["policies.gangs.enabled=true", "policies.gangs.by=webhook", scheduler.as_str()];
    let mut webhook = chart::object(&chart::render(&values)?, "MutatingWebhookConfiguration", "testudo-gangs")?.clone();
    // It runs beside the API server, and not behind a Service; and only here.
    let authority = k8s_openapi::ByteString(fs::read(d.cp.authority().cert())?);
    webhook["metadata"]["name"] = json!("e2e-gangs");
    webhook["webhooks"][0]["clientConfig"] =
        json!({ "url": format!("https://{address}/mutate"), "caBundle": authority });
    let this = json!({ "matchLabels": { "kubernetes.io/metadata.name": ns.name() } });
    webhook["webhooks"][0]["namespaceSelector"] = this;
    d.cp.apply(webhook.clone()).await?;

    let tried = async |mut pod: Value| {
        pod["metadata"]["namespace"] = json!(ns.name());
        if pod["spec"]["schedulerName"] == "testudo-scheduler" {
            pod["spec"]["schedulerName"] = json!(name);
        }
        let made = d.cp.try_create(pod).await?.map_err(anyhow::Error::msg)?;
        let gates = made.data["spec"]["schedulingGates"].as_array().into_iter().flatten();
        let ours = gates.filter(|gate| gate["name"] == "testudo.dev/gang").count();
        anyhow::Ok((made.data["spec"]["schedulerName"].as_str().unwrap_or_default().to_owned(), ours))
    };
    for pod in documents("gangs", "good.yaml")? {
        wait::until("the webhook to be called", PATIENCE, async || {
            let seen = tried(pod.clone()).await?;
            Ok(if seen == (name.to_owned(), 1) { Look::Done(()) } else { Look::NotYet(format!("{seen:?}")) })
        })
        .await?;
    }
    for pod in documents("gangs", "untouched.yaml")? {
        let (scheduler, gates) = tried(pod).await?;
        ensure!(gates == 0 && scheduler != name, "{scheduler}");
    }
    ns.clear().await?;

    ns.create_nodes(["webhook-a", "webhook-b"].map(|name| node(name).product("NVIDIA-L40S", 46068).gpus(4))).await?;
    for member in ["gang-0", "gang-1"] {
        let pod = pod(member).gpus(4).scheduler("default-scheduler");
        ns.create(pod.annotation("testudo.dev/pod-group", "gang").annotation("testudo.dev/min-member", "2")).await?;
    }
    ns.until_all_running(&["gang-0", "gang-1"]).await?;
    let metrics = Metrics::read(testudo.metrics()).await?;
    let changed = metrics.count("testudo_admission_reviews_total", &[("outcome", "changed")])?;
    ensure!(changed >= 4, "{changed} pods were changed");

    // While nobody answers nobody is kept from making pods.
    testudo.stop().await?;
    let mut alone = documents("gangs", "good.yaml")?.swap_remove(0);
    alone["metadata"]["name"] = json!("while-testudo-is-away");
    ensure!(tried(alone).await?.1 == 0, "somebody has answered");
    d.cp.delete(webhook).await?;
    ns.clear().await
}

/// As the kubelet changes a mounted ConfigMap. What is broken is refused, with line and column, and changes nothing.
async fn a_changed_placement_policy_is_taken_up(d: Arc<Deployed>) -> Result<()> {
    let name = "placement-policy";
    let ns = d.cp.namespace(name).await?;
    let policy = |body: &str| format!("apiVersion: policy.testudo.dev/v1alpha1\nkind: PlacementPolicy\n{body}\n");
    let quota = |gpus: u32| policy(&format!("quotas: [{{namespaces: [{name}], gpus: {gpus}}}]"));
    let mut mount = ConfigMount::new(d.cp.dir(), name, "policy.yaml", &quota(2))?;
    let config = d.config(name, &[("/policyFile", json!(mount.file()))])?;
    let testudo = Testudo::start(&d.cp, d.testudo("testudo-policy")?.config(config)).await?;
    let _scheduler = d.scheduler(Some(name), &testudo).await?;
    ns.create_node(node("placement-policy-a").product("NVIDIA-L40S", 46068).gpus(8)).await?;

    ns.create(pod("first").gpus(2).scheduler(name)).await?;
    ns.until_running("first").await?;
    ns.create(pod("second").gpus(2).scheduler(name)).await?;
    let over = "over quota: needs 2 GPUs, namespace placement-policy may have 2";
    ns.until_pending_with_message("second", &[over]).await?;
    mount.replace(&policy("quotas: [{namespaces: [a], gpus: many}]"))?;
    let outcomes = async |outcome: &str| {
        let metrics = Metrics::read(testudo.metrics()).await?;
        metrics.count("testudo_policy_reloads_total", &[("outcome", outcome)])
    };
    wait::until("the broken policy to be refused", PATIENCE, async || {
        Ok(if outcomes("failed").await? > 0 { Look::Done(()) } else { Look::NotYet("it is not".to_owned()) })
    })
    .await?;
    ensure!(outcomes("ok").await? == 0, "it was taken up");
    let refused = Metrics::read(testudo.metrics()).await?.count("testudo_policy_refused", &[])?;
    ensure!(refused == 1, "{refused}");
    mount.replace(&quota(4))?;
    ns.until_all_running(&["first", "second"]).await?;
    ensure!(outcomes("ok").await? == 1, "it was taken up more than once");
    ns.clear().await
}

/// Kubernetes has had this rule for long, and needs no policy for it. If it goes, this is where it is missed.
async fn requests_equal_limits(cp: Arc<ControlPlane>) -> Result<()> {
    let ns = cp.namespace("policy-requests").await?;
    for (resources, says) in [
        (
            json!({ "requests": { "nvidia.com/gpu": "1" }, "limits": { "nvidia.com/gpu": "2" } }),
            "must be equal to nvidia.com/gpu limit",
        ),
        (json!({ "requests": { "nvidia.com/gpu": "1" } }), "Limit must be set"),
    ] {
        let metadata = json!({ "name": "unequal", "namespace": ns.name() });
        let container = json!({ "name": "main", "image": "example.invalid/workload", "resources": resources });
        let pod =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": { "containers": [container] } });
        let message = cp.try_create(pod).await?.err().context("unequal requests and limits are accepted")?;
        ensure!(message.contains(says), "{message}");
    }
    Ok(())
}

async fn the_fence_holds(d: Arc<Deployed>) -> Result<()> {
    if !mutates(&d.cp) {
        return Ok(());
    }
    let policy = InForce::start(&d.cp, "fence").await?;
    policy.refused().await?;
    wait::until("a pod of testudo's scheduler to tolerate the fence", PATIENCE, async || {
        let accepted = policy.accepted("good.yaml").await?;
        let tolerates = |pod: &DynamicObject| {
            let tolerations = pod.data["spec"]["tolerations"].as_array();
            tolerations.is_some_and(|tolerations| tolerations.iter().any(|t| t["key"] == "testudo.dev/fence"))
        };
        let names = accepted.iter().filter(|pod| tolerates(pod)).filter_map(|pod| pod.metadata.name.as_deref());
        let names: Vec<&str> = names.collect();
        Ok(if names == ["through-testudo"] {
            Look::Done(())
        } else {
            Look::NotYet(format!("those that do: {names:?}"))
        })
    })
    .await?;
    policy.end().await
}

/// Whether the API server serves MutatingAdmissionPolicy in v1.
fn mutates(cp: &ControlPlane) -> bool {
    let serves = cp.version() >= Version::V1_36;
    if !serves {
        eprintln!("testudo-e2e: SKIPPED: Kubernetes {} has no MutatingAdmissionPolicy in v1", cp.version());
    }
    serves
}

/// The documents of a file beside a policy.
fn documents(policy: &str, file: &str) -> Result<Vec<Value>> {
    manifests::documents(format!("policies/{policy}/{file}"))
}

/// A namespace that has opted in.
async fn opted_in(cp: &ControlPlane, name: &str) -> Result<Namespace> {
    let namespace = cp.namespace(name).await?;
    let labels = json!({ "testudo.dev/scheduling": "required" });
    cp.apply(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } }))
        .await?;
    Ok(namespace)
}
