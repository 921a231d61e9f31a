//! Events on gangs: on the object that describes one, where there is one, and on its first member.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use testudo_core::engine::{ClaimNews, ClaimNewsKind, News, NewsKind};
use testudo_core::model::gang::{GangKey, Group, ObjectRef};
use testudo_core::model::pod::Pod;
use tracing::debug;

/// Writes Events. The same text on the same object is counted instead of written anew.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

/// Gangs told of at the same time, at most.
const WRITES: usize = 8;

/// The longest note that the API takes, in bytes.
const MAX_NOTE: usize = 1024;

impl Events {
    /// Events written through `client`; `instance` says by which replica.
    pub fn new(client: Client, instance: Option<String>) -> Self {
        Self { recorder: Recorder::new(client, Reporter { controller: "testudo.dev/testudo".into(), instance }) }
    }

    /// Tells what is news of gangs, of each gang in order.
    pub async fn tell_all(&self, news: &[News]) {
        let mut by_gang: BTreeMap<&GangKey, Vec<&News>> = BTreeMap::new();
        for news in news {
            by_gang.entry(&news.gang).or_default().push(news);
        }
        let telling = by_gang.into_values().map(|news| async move {
            for news in news {
                self.tell(news).await;
            }
        });
        stream::iter(telling).for_each_concurrent(WRITES, |telling| telling).await;
    }

    /// What cannot be written is not tried again: an Event is no state.
    async fn tell(&self, news: &News) {
        let (type_, what) = match news.kind {
            NewsKind::Invalid => (EventType::Warning, "Invalid"),
            NewsKind::Waiting => (EventType::Normal, "Waiting"),
            NewsKind::Planned => (EventType::Normal, "Planned"),
            NewsKind::Failed => (EventType::Warning, "PlanFailed"),
            NewsKind::Started => (EventType::Normal, "Started"),
            NewsKind::Regrouping => (EventType::Warning, "Regrouping"),
            NewsKind::TimedOut => (EventType::Warning, "HoldTimedOut"),
            NewsKind::ShortOfNodes => (EventType::Normal, "ShortOfNodes"),
            NewsKind::NotAutoscalable => (EventType::Warning, "NotAutoscalable"),
        };
        let whose = if news.gang.is_of_several() { "Gang" } else { "Claims" };
        let reason = format!("{whose}{what}");
        let note = shortened(format!("{}: {}", news.gang.title(), news.text));
        let event = Event { type_, reason, note: Some(note), action: "Scheduling".into(), secondary: None };
        let group = news.group.as_deref().map(reference_to_group);
        let member = news.member.as_deref().map(reference_to_pod);
        for about in group.into_iter().chain(member) {
            if let Err(error) = self.recorder.publish(&event, &about).await {
                debug!(gang = %news.gang, %error, "an event could not be written");
            }
        }
    }

    /// Tells what is news of claims, in their order.
    pub async fn tell_of_claims(&self, news: &[ClaimNews]) {
        for news in news {
            self.tell_of_claim(news).await;
        }
    }

    /// Tells what became of a changed policy, on the pod that has read it.
    pub async fn tell_of_policy(&self, own: &Pod, news: &PolicyNews) {
        let (type_, reason, note) = match news {
            PolicyNews::InForce => (EventType::Normal, "PolicyChanged", "the changed policy is in force".to_owned()),
            PolicyNews::Refused(why) => {
                (EventType::Warning, "PolicyRefused", format!("the old policy stays in force: {why}"))
            }
        };
        let note = Some(shortened(note));
        let event = Event { type_, reason: reason.into(), note, action: "Reloading".into(), secondary: None };
        if let Err(error) = self.recorder.publish(&event, &reference_to_pod(own)).await {
            debug!(pod = %own.key, %error, "an event could not be written");
        }
    }

    async fn tell_of_claim(&self, news: &ClaimNews) {
        let (type_, reason) = match news.kind {
            ClaimNewsKind::GivenTwice => (EventType::Warning, "DeviceGivenTwice"),
            ClaimNewsKind::Released => (EventType::Normal, "DevicesReleased"),
        };
        let note = Some(shortened(news.text.clone()));
        let event = Event { type_, reason: reason.into(), note, action: "Allocating".into(), secondary: None };
        if let Err(error) = self.recorder.publish(&event, &reference_to_claim(news)).await {
            debug!(claim = %news.claim, %error, "an event could not be written");
        }
    }
}

/// What became of a changed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyNews {
    /// It is in force.
    InForce,
    /// It cannot be used, for this reason; an older one stays in force.
    Refused(String),
}

/// What became of a claim, on the claim itself.
fn reference_to_claim(news: &ClaimNews) -> ObjectReference {
    ObjectReference {
        api_version: Some("resource.k8s.io/v1".into()),
        kind: Some("ResourceClaim".into()),
        namespace: Some(news.claim.namespace.as_ref().into()),
        name: Some(news.claim.name.as_ref().into()),
        uid: Some(news.uid.as_ref().into()),
        ..ObjectReference::default()
    }
}

fn shortened(mut note: String) -> String {
    let end = note.char_indices().map(|(at, _)| at).take_while(|at| *at <= MAX_NOTE - 3).last().unwrap_or(0);
    if note.len() > MAX_NOTE {
        note.truncate(end);
        note.push_str("...");
    }
    note
}

fn reference_to_pod(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        namespace: Some(pod.key.namespace.clone()),
        name: Some(pod.key.name.clone()),
        uid: Some(pod.uid.as_str().into()),
        ..ObjectReference::default()
    }
}

fn reference_to_group(group: &Group) -> ObjectReference {
    let ObjectRef { api_version, kind, name, uid, .. } = &group.object;
    ObjectReference {
        api_version: Some(api_version.to_string()),
        kind: Some(kind.to_string()),
        namespace: Some(group.key.namespace.clone()),
        name: Some(name.to_string()),
        uid: Some(uid.to_string()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_as_long_as_the_api_takes() {
        assert_eq!(shortened("short".into()), "short");
        let long = shortened("ü".repeat(1000));
        assert!(long.len() <= MAX_NOTE && long.ends_with("ü..."), "{}", long.len());
    }
}
