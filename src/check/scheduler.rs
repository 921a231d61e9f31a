//! Is the second kube-scheduler configured as testudo needs it, and does it reach testudo?

use std::time::Duration;

use serde_json::Value;

use super::Finding;
use super::cluster::{Installed, Leader};
use super::versions::minor;
use crate::config::Configuration;

const ABOUT: &str = "scheduler";
const LEADER: &str = "leader";
const CALLS: &str = "calls";

/// The sum of the default plugins' weights times 100, over our ten levels.
const LEAST_WEIGHT: i64 = 140;

/// What its configuration and its version say.
pub fn findings(installed: &Installed, server: &str) -> Vec<Finding> {
    let mut findings = vec![];
    match (&installed.scheduler_configuration, &installed.configuration) {
        (Ok(scheduler), Ok(testudo)) => findings.extend(configuration(scheduler, testudo)),
        (Err(why), _) => findings.push(Finding::unknown(
            ABOUT,
            format!("its configuration: {why}"),
            "with a scheduler of yours, compare it with what `helm get notes` prints",
        )),
        (_, Err(_)) => {}
    }
    if let Err(why) = &installed.configuration {
        findings.push(Finding::failed(
            "configuration",
            why.clone(),
            "helm upgrade with values that testudo understands",
        ));
    }
    if let Ok(image) = &installed.scheduler_image {
        findings.push(version(image, server));
    }
    findings
}

/// What stands in the KubeSchedulerConfiguration, beside testudo's own.
fn configuration(scheduler: &Value, testudo: &Configuration) -> Vec<Finding> {
    let mut findings = vec![];
    let extender = scheduler["extenders"].as_array().and_then(|extenders| {
        extenders.iter().find(|extender| extender["bindVerb"] == "bind" || extender["filterVerb"] == "filter")
    });
    let Some(extender) = extender else {
        return vec![Finding::failed(
            ABOUT,
            "its configuration has no extender",
            "helm upgrade, or see `helm get notes`",
        )];
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut demand = |holds: bool, what: String, advice: &str| {
        if !holds {
            findings.push(Finding::failed(ABOUT, what, advice));
        }
    };
    for verb in ["filter", "prioritize", "preempt", "bind"] {
        let field = format!("{verb}Verb");
        demand(
            extender[&field] == verb,
            format!("extender: {field} is not {verb}"),
            "set it: gangs are bound by testudo",
        );
    }
    let weight = extender["weight"].as_i64().unwrap_or(1);
    demand(
        weight > LEAST_WEIGHT,
        format!("extender: weight {weight}"),
        "set it above 140, or the default scores outweigh testudo's",
    );
    let http_timeout = duration(&text(&extender["httpTimeout"])).unwrap_or(Duration::from_secs(5));
    let bind_timeout = testudo.extender.bind_timeout;
    demand(
        http_timeout > bind_timeout,
        format!("extender: httpTimeout {http_timeout:?} is not longer than testudo's bindTimeout {bind_timeout:?}"),
        "raise httpTimeout: a gang comes together while bind is called",
    );
    demand(
        extender["nodeCacheCapable"] == true,
        "extender: nodeCacheCapable is not set".to_owned(),
        "set it: else each call carries all nodes as objects",
    );
    let is_tls = text(&extender["urlPrefix"]).starts_with("https://");
    demand(
        is_tls == testudo.extender.tls.is_some(),
        format!(
            "extender: {} while testudo serves {}",
            text(&extender["urlPrefix"]),
            if is_tls { "HTTP" } else { "HTTPS" }
        ),
        "make both of one kind",
    );
    let names = scheduler["profiles"].as_array().into_iter().flatten().map(|profile| text(&profile["schedulerName"]));
    let unknown: Vec<String> = names.filter(|name| !testudo.gangs.scheduler_names.contains(name)).collect();
    demand(
        unknown.is_empty(),
        format!("profiles {} are not in testudo's gangs.schedulerNames", unknown.join(", ")),
        "name them there: gangs of other schedulers' pods are not planned",
    );
    let sampled = scheduler["percentageOfNodesToScore"].as_i64().unwrap_or(0);
    if sampled != 100 {
        findings.push(Finding::warning(
            ABOUT,
            format!("percentageOfNodesToScore is {sampled}"),
            "set it to 100: else testudo is offered a sample of the nodes, and the best may be missing from it",
        ));
    }
    if extender["ignorable"] == true {
        findings.push(Finding::warning(
            ABOUT,
            "extender: ignorable, pods are placed blindly while testudo is away",
            "set it to false unless that is meant",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(ABOUT, format!("calls {} as testudo needs it", text(&extender["urlPrefix"]))));
    }
    findings
}

/// Reads `30s`, `1m30s`, as Go writes it.
fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

fn version(image: &str, server: &str) -> Finding {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag.split('@').next().unwrap_or_default());
    match (minor(tag), minor(server)) {
        (Some(ours), Some(theirs)) if ours > theirs => Finding::failed(
            ABOUT,
            format!("{image} is newer than the API server {server}"),
            "set scheduler.image.tag to the API server's version, or leave it empty",
        ),
        (Some(ours), Some(theirs)) if ours + 1 < theirs => Finding::warning(
            ABOUT,
            format!("{image} is more than one minor version older than the API server {server}"),
            "helm upgrade: the chart takes the API server's version",
        ),
        (Some(_), Some(_)) => Finding::ok(ABOUT, format!("{image} goes with the API server {server}")),
        _ => Finding::unknown(ABOUT, format!("the version of {image}"), "it must not be newer than the API server"),
    }
}

/// Does somebody lead, and is it called?
pub fn reached(installed: &Installed) -> Vec<Finding> {
    let leader = match &installed.leader {
        Ok(Leader { holder, silent_s }) if *silent_s <= installed.lease_duration_s => {
            Finding::ok(LEADER, format!("{holder} leads"))
        }
        Ok(Leader { holder, silent_s }) => Finding::failed(
            LEADER,
            format!("{holder} has not renewed its lease for {silent_s} s"),
            "kubectl -n NAMESPACE logs deployment/testudo; docs/operations.md, Nobody leads",
        ),
        Err(why) => {
            Finding::unknown(LEADER, why.clone(), "with one replica there is no lease; see whether its pod is Ready")
        }
    };
    let calls = match installed.calls {
        Some(0) => Finding::warning(
            CALLS,
            "testudo has not been asked by kube-scheduler yet",
            "create a pod with its schedulerName; if that stays pending: docs/operations.md, No testudo is answering",
        ),
        Some(calls) => Finding::ok(CALLS, format!("testudo has answered {calls} calls")),
        None => Finding::unknown(
            CALLS,
            "the metrics of the leader cannot be read",
            "needs get on pods/proxy; or look at testudo_extender_requests_total in Prometheus",
        ),
    };
    vec![leader, calls]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Status;
    use super::*;

    fn shipped() -> Value {
        json!({
            "percentageOfNodesToScore": 100,
            "profiles": [{"schedulerName": "testudo-scheduler"}],
            "extenders": [{
                "urlPrefix": "http://testudo:8888/v1", "filterVerb": "filter", "prioritizeVerb": "prioritize",
                "preemptVerb": "preempt", "bindVerb": "bind", "weight": 200, "nodeCacheCapable": true, "httpTimeout": "30s",
            }],
        })
    }

    /// What is said when one thing is otherwise than shipped.
    fn with(place: &str, value: Value) -> Vec<Finding> {
        let mut changed = shipped();
        *changed.pointer_mut(place).unwrap() = value;
        configuration(&changed, &Configuration::default())
    }

    #[test]
    fn the_shipped_configuration_is_as_it_should_be() {
        let findings = configuration(&shipped(), &Configuration::default());
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].status, Status::Ok);
    }

    #[test]
    fn each_thing_that_would_not_work_is_named() {
        let cases = [
            ("/extenders/0/weight", json!(100), "weight 100"),
            ("/extenders/0/httpTimeout", json!("25s"), "not longer than testudo's bindTimeout"),
            ("/extenders/0/bindVerb", json!("b"), "bindVerb"),
            ("/extenders/0/nodeCacheCapable", json!(false), "nodeCacheCapable"),
            ("/extenders/0/urlPrefix", json!("https://testudo:8888/v1"), "while testudo serves HTTP"),
            ("/profiles/0/schedulerName", json!("other"), "profiles other"),
            ("/extenders", json!([]), "no extender"),
        ];
        for (place, value, said) in cases {
            let findings = with(place, value);
            assert_eq!(findings.len(), 1, "{place}: {findings:?}");
            assert!(findings[0].status == Status::Failed && findings[0].what.contains(said), "{findings:?}");
        }
        let findings = with("/percentageOfNodesToScore", json!(50));
        assert_eq!((findings.len(), findings[0].status), (1, Status::Warning));
    }

    #[test]
    fn a_scheduler_must_not_be_newer_than_its_api_server() {
        let status = |tag: &str| version(&format!("registry.k8s.io/kube-scheduler:{tag}"), "v1.35.2-eks-abc").status;
        assert_eq!(["v1.35.1", "v1.34.9"].map(status), [Status::Ok; 2]);
        assert_eq!(status("v1.36.0"), Status::Failed);
        assert_eq!(status("v1.33.0"), Status::Warning);
        assert_eq!(status("latest"), Status::Unknown);
    }
}
