//! The KubeSchedulerConfiguration of a second scheduler with an extender, as `deploy/` ships it to real clusters.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::pki::Identity;

/// The profile that pods ask for by default here.
pub const SCHEDULER_NAME: &str = "testudo-scheduler";

/// What a kube-scheduler is to do.
#[derive(Debug, Clone)]
pub struct SchedulerConfig {
    /// The name of the one profile; pods ask for it with `schedulerName`.
    pub scheduler_name: String,
    /// The extenders, in the order in which they are called.
    pub extenders: Vec<Extender>,
    /// How long a rejected pod waits at first and at most, in seconds. kube-scheduler's own values are 1 and 10.
    pub backoff_seconds: (u32, u32),
    /// `percentageOfNodesToScore`; 0 lets kube-scheduler choose by the size of the cluster, as it does where nothing is said.
    pub percentage_of_nodes: u32,
}

impl Default for SchedulerConfig {
    /// A plain scheduler, no extender.
    fn default() -> Self {
        let scheduler_name = SCHEDULER_NAME.to_owned();
        Self { scheduler_name, extenders: Vec::new(), backoff_seconds: (1, 10), percentage_of_nodes: 100 }
    }
}

impl SchedulerConfig {
    /// One extender, all four verbs.
    pub fn with_extender(extender: Extender) -> Self {
        Self { extenders: vec![extender], ..Self::default() }
    }

    /// The same under another name, so that a scenario can have a scheduler of its own.
    pub fn named(mut self, scheduler_name: impl Into<String>) -> Self {
        self.scheduler_name = scheduler_name.into();
        self
    }

    /// The configuration as an object.
    pub fn to_json(&self, kubeconfig: &Path) -> Value {
        json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": { "kubeconfig": kubeconfig, "qps": 1000, "burst": 2000 },
            "leaderElection": { "leaderElect": false },
            "percentageOfNodesToScore": self.percentage_of_nodes,
            "podInitialBackoffSeconds": self.backoff_seconds.0,
            "podMaxBackoffSeconds": self.backoff_seconds.1,
            "profiles": [{ "schedulerName": self.scheduler_name }],
            "extenders": self.extenders.iter().map(Extender::to_json).collect::<Vec<_>>(),
        })
    }
}

/// One entry of `extenders`.
#[derive(Debug, Clone)]
pub struct Extender {
    /// What the verbs are appended to, as in `http://127.0.0.1:8888/v1`.
    pub url_prefix: String,
    /// `NodeNames` (true) or whole `Nodes` (false) in requests.
    pub node_cache_capable: bool,
    /// Whether its failure lets pods pass.
    pub ignorable: bool,
    /// The factor of its scores.
    pub weight: i64,
    /// The time limit of every verb.
    pub http_timeout: Duration,
    /// Whether it binds.
    pub bind: bool,
    /// Whether it has a say in preemption.
    pub preempt: bool,
    /// Call it only for pods that ask for one of these resources; empty: for all.
    pub managed_resources: Vec<String>,
    /// The authority of its certificate and, for mutual TLS, who to be.
    pub tls: Option<ExtenderTls>,
}

/// How kube-scheduler and the extender know each other.
#[derive(Debug, Clone)]
pub struct ExtenderTls {
    /// The authority that has signed the extender's certificate.
    pub ca_file: std::path::PathBuf,
    /// The client certificate that kube-scheduler shows.
    pub client: Option<Identity>,
    /// The name for which the extender's certificate is, if it is not that of the URL.
    pub server_name: Option<String>,
}

impl Extender {
    /// All verbs, `NodeNames`, not ignorable, 30 s, and a weight that outvotes the default plugins.
    pub fn new(url_prefix: impl Into<String>) -> Self {
        Self {
            url_prefix: url_prefix.into(),
            node_cache_capable: true,
            ignorable: false,
            weight: 200,
            http_timeout: Duration::from_secs(30),
            bind: true,
            preempt: true,
            managed_resources: Vec::new(),
            tls: None,
        }
    }

    /// Requests carry whole nodes.
    pub fn with_whole_nodes(mut self) -> Self {
        self.node_cache_capable = false;
        self
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "urlPrefix": self.url_prefix,
            "filterVerb": "filter",
            "prioritizeVerb": "prioritize",
            "weight": self.weight,
            "nodeCacheCapable": self.node_cache_capable,
            "ignorable": self.ignorable,
            "httpTimeout": format!("{}ms", self.http_timeout.as_millis()),
            "enableHTTPS": self.tls.is_some(),
        });
        if self.bind {
            entry["bindVerb"] = json!("bind");
        }
        if self.preempt {
            entry["preemptVerb"] = json!("preempt");
        }
        if !self.managed_resources.is_empty() {
            let named = |name: &String| json!({ "name": name, "ignoredByScheduler": false });
            entry["managedResources"] = self.managed_resources.iter().map(named).collect();
        }
        if let Some(tls) = &self.tls {
            entry["tlsConfig"] = json!({ "caFile": tls.ca_file });
            if let Some(client) = &tls.client {
                entry["tlsConfig"]["certFile"] = json!(client.cert);
                entry["tlsConfig"]["keyFile"] = json!(client.key);
            }
        }
        entry
    }
}

/// What a KubeSchedulerConfiguration from `deploy/` cannot know about this place. All else stays as it is shipped.
#[derive(Debug, Clone)]
pub struct Adaptation {
    /// Another profile name than the one that is shipped. Only one scheduler can have the shipped leader election, so a
    /// renamed one goes without.
    pub scheduler_name: Option<String>,
    /// Scheme, host and port of the extender.
    pub url: String,
    /// The files for TLS; none: the extender speaks plain HTTP here.
    pub tls: Option<ExtenderTls>,
    /// Another form of requests than the one that is shipped.
    pub node_cache_capable: Option<bool>,
}

/// A KubeSchedulerConfiguration from `deploy/` made fit for this place.
pub fn adapt_shipped(yaml: &str, kubeconfig: &Path, adaptation: &Adaptation) -> Result<Value> {
    let mut config: Value = serde_saphyr::from_str(yaml).context("the KubeSchedulerConfiguration is not YAML")?;
    config["clientConnection"]["kubeconfig"] = json!(kubeconfig);
    if let Some(name) = &adaptation.scheduler_name {
        config["leaderElection"]["leaderElect"] = json!(false);
        config["profiles"][0]["schedulerName"] = json!(name);
    }
    for extender in config["extenders"].as_array_mut().context("it has no extender")? {
        let shipped: http::Uri = extender["urlPrefix"].as_str().unwrap_or_default().parse().context("urlPrefix")?;
        extender["urlPrefix"] = json!(format!("{}{}", adaptation.url.trim_end_matches('/'), shipped.path()));
        if let Some(capable) = adaptation.node_cache_capable {
            extender["nodeCacheCapable"] = json!(capable);
        }
        match &adaptation.tls {
            None => {
                extender["enableHTTPS"] = json!(false);
                extender["tlsConfig"] = Value::Null;
            }
            Some(tls) => {
                let shipped = extender["tlsConfig"].as_object_mut().context("the extender has no tlsConfig")?;
                // Only files that the shipped configuration names: one that it forgets is to be missed here.
                let client = tls.client.as_ref();
                let files = [
                    ("caFile", Some(&tls.ca_file)),
                    ("certFile", client.map(|identity| &identity.cert)),
                    ("keyFile", client.map(|identity| &identity.key)),
                ];
                for (key, file) in files {
                    if let (Some(entry), Some(file)) = (shipped.get_mut(key), file) {
                        *entry = json!(file);
                    }
                }
                if let Some(name) = &tls.server_name {
                    shipped.insert("serverName".to_owned(), json!(name));
                }
            }
        }
    }
    Ok(config)
}
