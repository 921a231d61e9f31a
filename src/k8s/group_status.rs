//! How far a gang has come, on the object that describes it: where users look first.
//!
//! A PodGroup of Kubernetes gets a condition of our own, [`CONDITION`]; one of scheduler-plugins the phase and the count that
//! its own scheduler would write. Objects of other kinds belong to controllers that write their status as a whole, so what
//! is to be told of those gangs is told by Events only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures::StreamExt;
use futures::stream;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};
use testudo_core::engine::{GangStage, Report};
use testudo_core::model::gang::{Dialect, GangKey, ObjectRef};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::fence::is_fenced;
use super::gang::objects::KINDS;

/// The type of the condition on PodGroups of Kubernetes: all members that must start together have their nodes.
pub const CONDITION: &str = "testudo.dev/Placed";

/// Who writes, for server-side apply.
const MANAGER: &str = "testudo";

/// Objects of which is remembered what they show.
const MAX_REMEMBERED: usize = 10_000;

/// Objects written at the same time, at most.
const WRITES: usize = 8;

/// How long to wait before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// Writes what is reported on group objects. Of several reports on one gang the newest counts, so it grows with the gangs
/// that have an object.
#[derive(Clone)]
pub struct GroupStatuses {
    mailbox: Arc<Mailbox>,
}

/// What is to be shown, and when it was told, in milliseconds since 1970.
#[derive(Debug, Clone)]
struct Reported {
    report: Report,
    at_ms: u64,
}

#[derive(Default)]
struct Mailbox {
    reports: Mutex<BTreeMap<GangKey, Reported>>,
    news: Notify,
}

impl GroupStatuses {
    /// Starts to write through `client`, until nobody reports any more.
    pub fn start(client: Client) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        tokio::spawn(
            Writer { client, shown: Mutex::default(), forbidden: Mutex::default() }.run(Arc::downgrade(&mailbox)),
        );
        Self { mailbox }
    }

    /// Takes in what is to be shown; the time is in milliseconds since 1970.
    pub fn report(&self, reports: Vec<Report>, at_ms: u64) {
        let told = reports.into_iter().filter(|report| has_status(report.group.key.dialect));
        let mut waiting = self.mailbox.reports.lock();
        waiting.extend(told.map(|report| (report.gang.clone(), Reported { report, at_ms })));
        if !waiting.is_empty() {
            self.mailbox.news.notify_one();
        }
    }
}

/// Can the object of a gang of this dialect show anything of ours?
fn has_status(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Native | Dialect::Coscheduling)
}

struct Writer {
    client: Client,
    /// Our condition on each object, and since when it says so.
    shown: Mutex<BTreeMap<Arc<str>, Shown>>,
    /// Kinds that we may not write. Each is told of once.
    forbidden: Mutex<BTreeSet<Arc<str>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    status: &'static str,
    since: String,
}

impl Writer {
    async fn run(self, mailbox: std::sync::Weak<Mailbox>) {
        loop {
            let Some(mailbox) = mailbox.upgrade() else { return };
            // Nobody may report any more, and then nobody wakes us.
            let _ = tokio::time::timeout(PAUSE, mailbox.news.notified()).await;
            let reports = std::mem::take(&mut *mailbox.reports.lock());
            let written = stream::iter(reports.into_values()).map(|reported| async {
                let result = self.write(&reported).await;
                (reported, result)
            });
            let failed: Vec<Reported> = written
                .buffer_unordered(WRITES)
                .filter_map(async |(reported, result)| self.again(reported, result))
                .collect()
                .await;
            if !failed.is_empty() {
                tokio::time::sleep(PAUSE).await;
                let mut waiting = mailbox.reports.lock();
                for reported in failed {
                    waiting.entry(reported.report.gang.clone()).or_insert(reported);
                }
            }
        }
    }

    /// The report, if it should be tried again.
    fn again(&self, reported: Reported, result: Result<(), kube::Error>) -> Option<Reported> {
        let (report, error) = (&reported.report, result.err()?);
        let object = &report.group.object;
        match &error {
            // With another unique id the API server takes the patch for a conflict.
            kube::Error::Api(status) if status.code == 404 || status.code == 409 => {
                self.shown.lock().remove(&object.uid);
                None
            }
            kube::Error::Api(status) if status.code == 403 => {
                if self.forbidden.lock().insert(Arc::clone(&object.kind)) {
                    warn!(gang = %report.gang, %error, "the status of this kind is not written: the ClusterRole lacks it");
                }
                None
            }
            kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
                warn!(gang = %report.gang, %error, "the status of its group object cannot be written");
                None
            }
            // Whoever leads now reports all of them.
            error if is_fenced(error) => None,
            _ => {
                debug!(gang = %report.gang, %error, "the status of its group object is written later");
                Some(reported)
            }
        }
    }

    async fn write(&self, Reported { report, at_ms }: &Reported) -> Result<(), kube::Error> {
        let object = &report.group.object;
        let Some(api) = self.api(&report.group.key.namespace, object) else { return Ok(()) };
        match report.group.key.dialect {
            Dialect::Coscheduling => {
                let patch = json!({
                    "metadata": {"uid": &*object.uid},
                    "status": {"phase": phase(report.stage), "scheduled": report.bound},
                });
                api.patch_status(&object.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            }
            _ => {
                let shown = self.show(&api, report, *at_ms).await?;
                let patch = json!({
                    "apiVersion": &*object.api_version,
                    "kind": &*object.kind,
                    "metadata": {"name": &*object.name, "uid": &*object.uid},
                    "status": {"conditions": [condition(report, &shown)]},
                });
                api.patch_status(&object.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(patch)).await?;
                let mut known = self.shown.lock();
                // What is forgotten is asked for again.
                if known.len() >= MAX_REMEMBERED {
                    known.clear();
                }
                known.insert(Arc::clone(&object.uid), shown);
            }
        }
        Ok(())
    }

    /// What the condition is to say, and since when it is so. What an earlier leader wrote is asked for.
    async fn show(&self, api: &Api<DynamicObject>, report: &Report, at_ms: u64) -> Result<Shown, kube::Error> {
        let object = &report.group.object;
        let status = if report.stage == GangStage::Running { "True" } else { "False" };
        let known = self.shown.lock().get(&object.uid).cloned();
        let before = match known {
            Some(known) => Some((known.status.to_owned(), known.since)),
            None => shown_by(&api.get(&object.name).await?.data),
        };
        let since = before.filter(|(before, _)| before == status).map(|(_, since)| since);
        let told = || humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(at_ms)).to_string();
        Ok(Shown { status, since: since.unwrap_or_else(told) })
    }

    fn api(&self, namespace: &str, object: &ObjectRef) -> Option<Api<DynamicObject>> {
        let (group, version) = object.api_version.split_once('/')?;
        let kind = KINDS.iter().find(|kind| kind.api_group == group && kind.name == &*object.kind)?;
        let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind.name), kind.plural);
        Some(Api::namespaced_with(self.client.clone(), namespace, &kind))
    }
}

/// What our condition says on an object, and since when.
fn shown_by(object: &Value) -> Option<(String, String)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let ours = conditions.iter().find(|condition| condition["type"] == CONDITION)?;
    Some((ours["status"].as_str()?.to_owned(), ours["lastTransitionTime"].as_str()?.to_owned()))
}

fn condition(report: &Report, shown: &Shown) -> Value {
    let reason = match report.stage {
        _ if report.is_invalid => "Invalid",
        GangStage::Gathering => "MembersMissing",
        GangStage::Waiting => "Waiting",
        GangStage::Clearing => "MakingRoom",
        GangStage::Planned => "Planned",
        GangStage::Running => "Started",
    };
    json!({
        "type": CONDITION,
        "status": shown.status,
        "reason": reason,
        "message": &*report.text,
        "lastTransitionTime": shown.since,
        "observedGeneration": report.group.object.generation,
    })
}

/// As the controller of scheduler-plugins calls it, which goes on from `Scheduled` by what its pods do.
fn phase(stage: GangStage) -> &'static str {
    match stage {
        GangStage::Gathering => "Pending",
        GangStage::Waiting | GangStage::Clearing | GangStage::Planned => "Scheduling",
        GangStage::Running => "Scheduled",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use testudo_core::model::gang::{Group, Terms};

    use super::super::fence::fenced;
    use super::super::mock::{ApiServer, failure};
    use super::*;

    fn reported(dialect: Dialect, stage: GangStage) -> Reported {
        let gang = GangKey { namespace: "team".into(), name: "g".into(), dialect };
        let api_version = match dialect {
            Dialect::Native => "scheduling.k8s.io/v1alpha2",
            _ => "scheduling.x-k8s.io/v1alpha1",
        };
        let object = ObjectRef {
            api_version: api_version.into(),
            kind: "PodGroup".into(),
            name: "g".into(),
            uid: "u-1".into(),
            generation: 3,
        };
        let terms = Terms::default();
        let group = Group { key: gang.clone(), object, created_s: 0, priority: None, terms, fault: None };
        let report = Report { gang, group: Arc::new(group), stage, is_invalid: false, bound: 2, text: "why".into() };
        Reported { report, at_ms: 1_772_330_645_000 }
    }

    fn writer(server: &ApiServer) -> Writer {
        Writer { client: server.client.clone(), shown: Mutex::default(), forbidden: Mutex::default() }
    }

    /// The one condition of a patch.
    fn condition_of(request: &str) -> Value {
        let body: Value =
            serde_json::from_str(request.split_once(" {").map(|(_, body)| format!("{{{body}")).as_deref().unwrap())
                .unwrap();
        body["status"]["conditions"][0].clone()
    }

    #[tokio::test]
    async fn the_time_of_a_condition_changes_with_its_status_only() {
        let before = json!({"metadata": {"name": "g"}, "status": {"conditions": [
            {"type": "PodGroupScheduled", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"},
            {"type": CONDITION, "status": "False", "lastTransitionTime": "2026-01-02T03:04:05Z"},
        ]}});
        let server = ApiServer::new(move |_| Some((200, before.to_string())));
        let writer = writer(&server);
        for stage in [GangStage::Gathering, GangStage::Waiting, GangStage::Running] {
            writer.write(&reported(Dialect::Native, stage)).await.unwrap();
        }
        let requests = server.requests.lock().clone();
        let path = "/apis/scheduling.k8s.io/v1alpha2/namespaces/team/podgroups/g";
        assert!(requests[0].starts_with(&format!("GET {path}")), "{requests:?}");
        assert!(
            requests[1].starts_with(&format!("PATCH {path}/status?&force=true&fieldManager=testudo")),
            "{requests:?}"
        );
        let conditions: Vec<Value> = requests[1..].iter().map(|request| condition_of(request)).collect();
        let reasons: Vec<_> = conditions.iter().map(|condition| condition["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, ["MembersMissing", "Waiting", "Started"], "asked once, written three times");
        assert_eq!(conditions[0]["lastTransitionTime"], "2026-01-02T03:04:05Z", "as an earlier leader wrote it");
        assert_eq!(conditions[1]["lastTransitionTime"], "2026-01-02T03:04:05Z");
        assert_eq!(conditions[2]["lastTransitionTime"], "2026-03-01T02:04:05Z", "when it was told");
        assert_eq!((&conditions[2]["status"], &conditions[2]["observedGeneration"]), (&json!("True"), &json!(3)));
    }

    #[tokio::test]
    async fn pod_groups_of_scheduler_plugins_get_a_phase_and_a_count() {
        let server = ApiServer::new(|_| Some((200, json!({"metadata": {"name": "g"}}).to_string())));
        writer(&server).write(&reported(Dialect::Coscheduling, GangStage::Waiting)).await.unwrap();
        let request = server.requests.lock()[0].clone();
        assert!(
            request.ends_with(r#"{"metadata":{"uid":"u-1"},"status":{"phase":"Scheduling","scheduled":2}}"#),
            "{request}"
        );
    }

    #[tokio::test]
    async fn only_what_may_pass_by_itself_is_tried_again() {
        let is_again = async |code: u16, reason: &'static str| {
            let server = ApiServer::new(move |_| Some(failure(code, reason, "no")));
            let (writer, reported) = (writer(&server), reported(Dialect::Coscheduling, GangStage::Waiting));
            let result = writer.write(&reported).await;
            writer.again(reported, result).is_some()
        };
        assert!(is_again(500, "InternalError").await && is_again(429, "TooManyRequests").await);
        for (code, reason) in [(403, "Forbidden"), (404, "NotFound"), (409, "Conflict"), (422, "Invalid")] {
            assert!(!is_again(code, reason).await, "{code}");
        }
        let server = ApiServer::new(|_| Some((200, "{}".into())));
        let (fenced, reported) = (fenced(server.client, || false), reported(Dialect::Coscheduling, GangStage::Waiting));
        let writer = Writer { client: fenced, shown: Mutex::default(), forbidden: Mutex::default() };
        let result = writer.write(&reported).await;
        assert!(result.is_err() && writer.again(reported, result).is_none(), "another leads and reports");
    }
}
