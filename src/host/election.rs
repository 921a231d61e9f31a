//! Leader election: asks for the lease again and again, and tells the host what came of it.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{Host, Leadership};
use crate::k8s::leader_label::LeaderLabel;
use crate::k8s::lease::{Bid, Candidate};

/// How the lease is asked for. Longer than the one before it is each of `retry_period`, `renew_deadline` and the duration of
/// the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElectionTimes {
    /// For so long after the lease was last renewed its holder acts: others take it only later.
    pub renew_deadline: Duration,
    /// How often the lease is renewed, or asked for.
    pub retry_period: Duration,
}

/// How often the leader looks whether its label is where it belongs, and how soon again after a failure.
const LABEL_PERIOD: Duration = Duration::from_secs(10);
const LABEL_RETRY: Duration = Duration::from_millis(500);

impl Host {
    /// Takes part in the election; ends never. Only who knows the whole cluster may be elected.
    pub async fn stand_for_election(&self, candidate: &mut Candidate, times: ElectionTimes) {
        while self.is_synced().is_err() {
            sleep(Duration::from_millis(50)).await;
        }
        let mut changes = pin!(candidate.changes());
        loop {
            let leads = match timeout(times.renew_deadline / 2, candidate.bid()).await {
                Ok(Ok(Bid::Won { epoch, renewed })) => {
                    self.lead(epoch, renewed + times.renew_deadline);
                    true
                }
                Ok(Ok(Bid::Lost { holder })) => {
                    self.follow(&holder);
                    false
                }
                // Whoever leads does so until its time is over.
                failed => {
                    let error = failed.map_or_else(|_| "no answer in time".to_owned(), |bid| format!("{bid:?}"));
                    warn!(error, "the lease could not be asked for");
                    true
                }
            };
            match leads {
                true => sleep(times.retry_period).await,
                // The next one need not wait where the last one has given the lease back.
                false => drop(timeout(times.retry_period, changes.next()).await),
            }
        }
    }
}

impl Leadership {
    /// Keeps the label on the pod that leads; ends never.
    pub async fn keep_label(self, label: LeaderLabel) {
        let mut changes = self.changes();
        loop {
            let pause = match self.leads() {
                false => Duration::MAX,
                true => match label.claim().await {
                    Ok(()) => LABEL_PERIOD,
                    Err(error) => {
                        warn!(%error, "the leader's pod could not be labelled");
                        LABEL_RETRY
                    }
                },
            };
            let _ = timeout(pause, changes.changed()).await;
        }
    }
}
