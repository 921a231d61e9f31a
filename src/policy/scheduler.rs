//! The configuration of the kube-scheduler that goes with a policy.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::Configuration;

/// How kube-scheduler reaches testudo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Scheme, host and port.
    pub url: String,
    /// The folder with `ca.crt`, `tls.crt` and `tls.key`, for `https`.
    pub tls_folder: String,
}

/// The default plugins' scores sum to 1,400; one of our ten levels must outweigh that, or what a profile places for is lost.
const WEIGHT: u32 = 200;

/// By how much kube-scheduler waits longer for an answer than testudo takes for one.
const PATIENCE: Duration = Duration::from_secs(5);

/// A `KubeSchedulerConfiguration` with testudo as its extender.
pub fn configuration(ours: &Configuration, reached: &Reached) -> Value {
    let profiles: Vec<Value> = ours.gangs.scheduler_names.iter().map(|name| json!({ "schedulerName": name })).collect();
    let lease = ours.gangs.scheduler_names.first().map_or("testudo-scheduler", String::as_str);
    let namespace = ours.leader_election.resource_namespace.as_deref().unwrap_or("testudo-system");
    let http_timeout = format!("{}s", (ours.extender.bind_timeout + PATIENCE).as_secs_f64().ceil());
    let mut extender = json!({
        "urlPrefix": format!("{}/v1", reached.url),
        "filterVerb": "filter",
        "prioritizeVerb": "prioritize",
        "preemptVerb": "preempt",
        "bindVerb": "bind",
        "weight": WEIGHT,
        "nodeCacheCapable": true,
        // While testudo is away its pods wait: otherwise they would be placed blindly.
        "ignorable": false,
        "httpTimeout": http_timeout,
    });
    if reached.url.starts_with("https://") {
        let file = |name: &str| format!("{}/{name}", reached.tls_folder);
        extender["enableHTTPS"] = json!(true);
        extender["tlsConfig"] =
            json!({ "caFile": file("ca.crt"), "certFile": file("tls.crt"), "keyFile": file("tls.key") });
    }
    json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": { "leaderElect": true, "resourceNamespace": namespace, "resourceName": lease },
        // Of 50 requests a second, what kube-scheduler allows itself by default, a pod with claims takes several.
        "clientConnection": { "qps": 200, "burst": 400 },
        // By default testudo is offered only a sample of the nodes, and the best one may be missing from it.
        "percentageOfNodesToScore": 100,
        // Members of gangs that wait without a gate are asked for again soon after they have got their places.
        "podMaxBackoffSeconds": 2,
        "profiles": profiles,
        "extenders": [extender],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_chart_ships() {
        let map: Value = serde_saphyr::from_str(include_str!("../../deploy/manifests/scheduler-config.yaml")).unwrap();
        let shipped: Value = serde_saphyr::from_str(map["data"]["kube-scheduler.yaml"].as_str().unwrap()).unwrap();
        let reached =
            Reached { url: "https://testudo.testudo-system.svc:8888".into(), tls_folder: "/etc/testudo/tls".into() };
        assert_eq!(configuration(&Configuration::default(), &reached), shipped);
    }

    #[test]
    fn it_waits_longer_than_testudo_takes() {
        let mut ours = Configuration::default();
        ours.extender.bind_timeout = Duration::from_millis(40_500);
        let reached = Reached { url: "http://127.0.0.1:8888".into(), tls_folder: String::new() };
        let configuration = configuration(&ours, &reached);
        assert_eq!(configuration["extenders"][0]["httpTimeout"], "46s");
        assert!(configuration["extenders"][0]["tlsConfig"].is_null(), "plain HTTP");
    }
}
