//! What is looked at of a cluster for the checks. What cannot be read is a reason, not an error: the others are looked at all
//! the same.

use std::time::SystemTime;

use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, PodSpec, Secret};
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use rustls::pki_types::UnixTime;
use serde_json::Value;

use super::permissions::{Permission, needed, to_install};
use super::pods::OPT_IN;
use super::{Finding, OptedIn, SliceNodes, few, permissions};
use crate::config::Configuration;

/// Questions under way at the same time.
const AT_A_TIME: usize = 8;

/// The port of testudo's metrics.
const METRICS_PORT: u16 = 8889;

/// The label that the leader's pod has.
const LEADER_LABEL: &str = "testudo.dev/leader=true";

/// What is read of an installation.
pub struct Installed {
    /// Where it is.
    pub namespace: String,
    /// The name that its objects have.
    pub release: String,
    /// Its account.
    pub account: String,
    /// The configuration of testudo.
    pub configuration: Result<Configuration, String>,
    /// That of its kube-scheduler.
    pub scheduler_configuration: Result<Value, String>,
    /// The image of its kube-scheduler.
    pub scheduler_image: Result<String, String>,
    /// testudo's certificate.
    pub server_tls: Result<TlsSecret, String>,
    /// kube-scheduler's certificate.
    pub client_tls: Result<TlsSecret, String>,
    /// What its account may not do that testudo does.
    pub denied: Result<Vec<Permission>, String>,
    /// Who leads.
    pub leader: Result<Leader, String>,
    /// How long a leader may be silent.
    pub lease_duration_s: u64,
    /// How many calls the leader has answered.
    pub calls: Option<u64>,
    /// The policies that are in force.
    pub policies: Result<Vec<String>, String>,
    /// When all this was read.
    pub now: UnixTime,
}

/// A secret with a certificate.
pub struct TlsSecret {
    /// Its name.
    pub name: String,
    /// `ca.crt`: who its owner trusts.
    pub authority: Vec<u8>,
    /// `tls.crt`.
    pub certificate: Vec<u8>,
}

/// Who leads.
pub struct Leader {
    /// The name of the pod.
    pub holder: String,
    /// How long ago it renewed its lease, in seconds.
    pub silent_s: u64,
}

impl Installed {
    /// Looks at the installation of this name, in a cluster of this version.
    pub async fn look(client: &Client, namespace: &str, release: &str, server: &str) -> Self {
        let scheduler = format!("{release}-scheduler");
        let configuration = match config_map(client, namespace, release, "testudo.yaml").await {
            Ok(text) => Configuration::parse(&text, "testudo.yaml".as_ref()).map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        let scheduler_configuration = config_map(client, namespace, &scheduler, "kube-scheduler.yaml").await;
        let scheduler_configuration = scheduler_configuration
            .and_then(|text| serde_saphyr::from_str(&text).map_err(|error| format!("kube-scheduler.yaml: {error}")));
        // Where the Deployment cannot be read, it is most likely the account that the chart makes.
        let account = pod_spec(client, namespace, release).await.map_or_else(|_| release.to_owned(), account_of);
        let account = format!("system:serviceaccount:{namespace}:{account}");
        let permissions = needed(configuration.as_ref().unwrap_or(&Configuration::default()), server);
        let (leader, lease_duration_s) = match lease(client, namespace, release).await {
            Ok((leader, duration)) => (Ok(leader), duration),
            Err(why) => (Err(why), 0),
        };
        Self {
            scheduler_image: image(client, namespace, &scheduler).await,
            server_tls: tls(client, namespace, &format!("{release}-tls")).await,
            client_tls: tls(client, namespace, &format!("{scheduler}-tls")).await,
            denied: denied_to(client, &account, permissions).await,
            calls: calls(client, namespace).await,
            policies: policies(client).await,
            namespace: namespace.to_owned(),
            release: release.to_owned(),
            account,
            configuration,
            scheduler_configuration,
            leader,
            lease_duration_s,
            now: UnixTime::now(),
        }
    }

    /// Which policies are in force.
    pub fn policy_finding(&self) -> Finding {
        match &self.policies {
            Ok(policies) if policies.is_empty() => Finding::warning(
                "policies",
                "none of testudo's is in force",
                "see policies/README.md; oneScheduler keeps other schedulers off GPUs in namespaces that opt in",
            ),
            Ok(policies) => Finding::ok("policies", format!("in force: {}", few(policies))),
            Err(why) => Finding::unknown("policies", why.clone(), "needs list on policy bindings"),
        }
    }
}

/// What an API server refuses, or whom it does not know.
fn reason(what: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 => format!("there is no {what}"),
        kube::Error::Api(status) if status.code == 403 => format!("you may not read {what}"),
        error => format!("{what}: {error}"),
    }
}

async fn config_map(client: &Client, namespace: &str, name: &str, key: &str) -> Result<String, String> {
    let what = format!("ConfigMap {namespace}/{name}");
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let data = maps.get(name).await.map_err(|error| reason(&what, &error))?.data.unwrap_or_default();
    data.get(key).cloned().ok_or_else(|| format!("{what} has no {key}"))
}

/// What the pods of a Deployment are.
async fn pod_spec(client: &Client, namespace: &str, name: &str) -> Result<PodSpec, String> {
    let what = format!("Deployment {namespace}/{name}");
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deployment = deployments.get(name).await.map_err(|error| reason(&what, &error))?;
    deployment.spec.and_then(|spec| spec.template.spec).ok_or_else(|| format!("{what} has no pods"))
}

/// The account of a pod.
fn account_of(pod: PodSpec) -> String {
    pod.service_account_name.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
}

async fn image(client: &Client, namespace: &str, name: &str) -> Result<String, String> {
    let image = pod_spec(client, namespace, name).await?.containers.into_iter().find_map(|container| container.image);
    image.ok_or_else(|| format!("Deployment {namespace}/{name} has no image"))
}

async fn tls(client: &Client, namespace: &str, name: &str) -> Result<TlsSecret, String> {
    let what = format!("Secret {namespace}/{name}");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut data = secrets.get(name).await.map_err(|error| reason(&what, &error))?.data.unwrap_or_default();
    let mut take = |key: &str| data.remove(key).map(|bytes| bytes.0).ok_or_else(|| format!("{what} has no {key}"));
    Ok(TlsSecret { authority: take("ca.crt")?, certificate: take("tls.crt")?, name: name.to_owned() })
}

async fn lease(client: &Client, namespace: &str, name: &str) -> Result<(Leader, u64), String> {
    let what = format!("Lease {namespace}/{name}");
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let spec = leases.get(name).await.map_err(|error| reason(&what, &error))?.spec.unwrap_or_default();
    let holder =
        spec.holder_identity.filter(|holder| !holder.is_empty()).ok_or_else(|| format!("{what}: nobody holds it"))?;
    let renewed_s = spec.renew_time.map_or(0, |time| u64::try_from(time.0.as_second()).unwrap_or(0));
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let duration_s = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or(0);
    Ok((Leader { holder, silent_s: now_s.saturating_sub(renewed_s) }, duration_s))
}

/// How many calls the leader has answered, by its metrics through the API server.
async fn calls(client: &Client, namespace: &str) -> Option<u64> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let leaders = pods.list_metadata(&ListParams::default().labels(LEADER_LABEL)).await.ok()?;
    let leader = leaders.items.first()?.name_any();
    let url = format!("/api/v1/namespaces/{namespace}/pods/{leader}:{METRICS_PORT}/proxy/metrics");
    let text = client.request_text(http::Request::get(url).body(vec![]).ok()?).await.ok()?;
    let calls = text.lines().filter(|line| line.starts_with("testudo_extender_requests_total{"));
    let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
    Some(calls.filter_map(value).sum::<f64>() as u64)
}

/// Which of these an account may not do.
async fn denied_to(client: &Client, account: &str, permissions: Vec<Permission>) -> Result<Vec<Permission>, String> {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    denied(permissions, async |attributes| {
        let spec = SubjectAccessReviewSpec {
            user: Some(account.to_owned()),
            groups: Some(groups_of(account)),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { metadata: ObjectMeta::default(), spec, status: None };
        let review = reviews.create(&PostParams::default(), &review).await?;
        Ok(review.status.is_some_and(|status| status.allowed))
    })
    .await
}

/// The groups of which a service account is.
fn groups_of(account: &str) -> Vec<String> {
    let namespace = account.split(':').nth(2).unwrap_or_default();
    let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    groups.into_iter().chain(["system:authenticated".to_owned()]).collect()
}

/// What whoever asks may not do of what it takes to install the chart.
pub async fn before(client: &Client) -> Finding {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let denied = denied(to_install(), async |attributes| {
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { metadata: ObjectMeta::default(), spec, status: None };
        let review = reviews.create(&PostParams::default(), &review).await?;
        Ok(review.status.is_some_and(|status| status.allowed))
    });
    permissions::before(&denied.await)
}

async fn denied(
    permissions: Vec<Permission>,
    is_allowed: impl AsyncFn(ResourceAttributes) -> Result<bool, kube::Error>,
) -> Result<Vec<Permission>, String> {
    let asked = stream::iter(permissions).map(|permission| async {
        let (resource, subresource) = permission.resource.split_once('/').unwrap_or((&permission.resource, ""));
        let attributes = ResourceAttributes {
            verb: Some(permission.verb.clone()),
            group: Some(permission.group.clone()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
            ..ResourceAttributes::default()
        };
        let allowed = is_allowed(attributes).await;
        (permission, allowed)
    });
    let answers: Vec<_> = asked.buffered(AT_A_TIME).collect().await;
    let mut denied = vec![];
    for (permission, allowed) in answers {
        match allowed {
            Ok(true) => {}
            Ok(false) => denied.push(permission),
            Err(error) => return Err(reason("access reviews", &error)),
        }
    }
    Ok(denied)
}

/// The bindings of testudo's policies.
async fn policies(client: &Client) -> Result<Vec<String>, String> {
    let mut found = vec![];
    for (kind, plural) in [
        ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
        ("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings"),
    ] {
        let kind = kube::core::GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
        let resource = kube::api::ApiResource::from_gvk_with_plural(&kind, plural);
        let bindings: Api<kube::api::DynamicObject> = Api::all_with(client.clone(), &resource);
        match bindings.list_metadata(&ListParams::default()).await {
            Ok(list) => found.extend(list.items.iter().map(ResourceExt::name_any)),
            // Older than policies that change pods.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(reason(plural, &error)),
        }
    }
    found.retain(|name| name.starts_with("testudo-"));
    found.sort();
    found.dedup();
    Ok(found)
}

/// The namespaces that have opted in.
///
/// # Errors
/// When they cannot be listed.
pub async fn opted_in(client: &Client) -> Result<OptedIn, kube::Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let labels = ListParams::default().labels(&format!("{}={}", OPT_IN.0, OPT_IN.1));
    let list = namespaces.list_metadata(&labels).await?;
    Ok(list.items.iter().map(ResourceExt::name_any).collect())
}

/// The nodes of which the slices are among these objects.
pub fn slice_nodes(objects: &[Value]) -> SliceNodes {
    let mut nodes = SliceNodes::new();
    for slice in objects.iter().filter(|object| object["kind"] == "ResourceSlice") {
        if let Some(node) = slice["spec"]["nodeName"].as_str() {
            *nodes.entry(node.to_owned()).or_default() += 1;
        }
    }
    nodes
}
