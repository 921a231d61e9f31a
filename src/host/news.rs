//! What is worth telling: logged and counted at once, and told as Events in turn, as fast as the API server takes them.

use testudo_core::engine::{ClaimNews, ClaimNewsKind, News, NewsKind};
use tokio::sync::mpsc::{Sender, channel};
use tracing::{info, warn};

use super::Host;
use crate::k8s::events::Events;
use crate::k8s::group_status::GroupStatuses;

/// So many batches of news wait to be told as Events, at most.
const BATCHES: usize = 256;

/// What is news at one time.
struct Batch {
    gangs: Vec<News>,
    claims: Vec<ClaimNews>,
}

/// News that wait to be told as Events. One batch after the other: when much happens, other writes matter more.
pub(super) struct EventQueue(Sender<Batch>);

impl EventQueue {
    pub fn new(events: Events) -> Self {
        let (queue, mut batches) = channel::<Batch>(BATCHES);
        tokio::spawn(async move {
            while let Some(Batch { gangs, claims }) = batches.recv().await {
                events.tell_all(&gangs).await;
                events.tell_of_claims(&claims).await;
            }
        });
        Self(queue)
    }

    fn push(&self, batch: Batch) {
        let events = batch.gangs.len() + batch.claims.len();
        if events > 0 && self.0.try_send(batch).is_err() {
            warn!(events, "not told as Events: the API server takes these more slowly than there is news");
        }
    }
}

impl Host {
    /// Tells what has happened since this was last called. Without writers it is only logged and counted.
    pub(super) fn tell_news(&self, statuses: Option<&GroupStatuses>, events: Option<&EventQueue>) {
        let (gangs, claims, reports) = {
            let mut engine = self.engine.lock();
            (engine.take_news(), engine.take_claim_news(), engine.take_reports(self.now_ms()))
        };
        for ClaimNews { claim, kind, text, .. } in &claims {
            self.metrics.claim_news(*kind);
            match kind {
                ClaimNewsKind::GivenTwice => warn!(%claim, "{text}"),
                ClaimNewsKind::Released => info!(%claim, "{text}"),
            }
        }
        for News { gang, kind, text, .. } in &gangs {
            self.metrics.gang_news(*kind);
            match kind {
                NewsKind::Invalid
                | NewsKind::Failed
                | NewsKind::Regrouping
                | NewsKind::TimedOut
                | NewsKind::NotAutoscalable => warn!(%gang, "{text}"),
                NewsKind::Waiting | NewsKind::Planned | NewsKind::Started | NewsKind::ShortOfNodes => {
                    info!(%gang, "{text}");
                }
            }
        }
        if let Some(statuses) = statuses {
            statuses.report(reports, self.now_ms());
        }
        if let Some(events) = events {
            events.push(Batch { gangs, claims });
        }
    }
}
