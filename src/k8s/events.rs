//! Events on gangs: on the object that describes one, where there is one, and on its first member.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use testudo_core::engine::{ClaimNews, ClaimNewsKind, News, NewsKind};
use testudo_core::model::gang::{Dialect, Group};
use testudo_core::model::pod::Pod;
use tracing::debug;

use super::gang::objects::KINDS;

/// Writes Events. The same text on the same object is counted instead of written anew.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

/// The longest note that the API takes, in bytes.
const MAX_NOTE: usize = 1024;

impl Events {
    /// Events written through `client`; `instance` says by which replica.
    pub fn new(client: Client, instance: Option<String>) -> Self {
        Self { recorder: Recorder::new(client, Reporter { controller: "testudo.dev/testudo".into(), instance }) }
    }

    /// Tells what is news of a gang. What cannot be written is not tried again: an Event is no state.
    pub async fn tell(&self, news: &News) {
        let (type_, what) = match news.kind {
            NewsKind::Invalid => (EventType::Warning, "Invalid"),
            NewsKind::Waiting => (EventType::Normal, "Waiting"),
            NewsKind::Planned => (EventType::Normal, "Planned"),
            NewsKind::Failed => (EventType::Warning, "PlanFailed"),
            NewsKind::Started => (EventType::Normal, "Started"),
            NewsKind::TimedOut => (EventType::Warning, "HoldTimedOut"),
        };
        let whose = if news.gang.dialect == Dialect::Claims { "Claims" } else { "Gang" };
        let reason = format!("{whose}{what}");
        let note = shortened(format!("{}: {}", news.gang.title(), news.text));
        let event = Event { type_, reason, note: Some(note), action: "Scheduling".into(), secondary: None };
        let group = news.group.as_deref().map(reference_to_group);
        let member = news.member.as_deref().map(reference_to_pod);
        for about in group.into_iter().flatten().chain(member) {
            if let Err(error) = self.recorder.publish(&event, &about).await {
                debug!(gang = %news.gang, %error, "an event could not be written");
            }
        }
    }

    /// Tells what is news of a claim, in the same way.
    pub async fn tell_of_claim(&self, news: &ClaimNews) {
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

/// Of a group that was described by an object of a kind that we know.
fn reference_to_group(group: &Group) -> Option<ObjectReference> {
    let kind = KINDS.iter().find(|kind| kind.dialect == group.key.dialect)?;
    // The object stands for all gangs whose names begin with its own.
    let name = group.key.name.split('/').next().unwrap_or_default();
    Some(ObjectReference {
        api_version: Some(format!("{}/{}", kind.api_group, kind.versions.first()?)),
        kind: Some(kind.name.into()),
        namespace: Some(group.key.namespace.clone()),
        name: Some(name.into()),
        uid: Some(group.uid.as_ref().into()),
        ..ObjectReference::default()
    })
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
