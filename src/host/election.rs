//! Leader election: asks for the lease again and again, and tells the host what came of it.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout};
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

/// For so long an answer about the label is waited for: the API server that does not give one may be gone, and another be there.
pub const LABEL_DEADLINE: Duration = Duration::from_secs(5);

impl Host {
    /// Takes part in the election; ends never. Only who knows the whole cluster may be elected.
    pub async fn stand_for_election(&self, candidate: &mut Candidate, times: ElectionTimes) {
        while self.is_synced().is_err() {
            sleep(Duration::from_millis(50)).await;
        }
        let mut changes = pin!(candidate.changes());
        loop {
            let next = match timeout(times.renew_deadline / 2, candidate.bid()).await {
                Ok(Ok(Bid::Won { epoch, renewed })) => {
                    self.lead(epoch, renewed + times.renew_deadline);
                    Next::Renew
                }
                Ok(Ok(Bid::Lost { holder, free_at })) => {
                    self.follow(&holder);
                    Next::Ask { free_at }
                }
                // Whoever leads does so until its time is over.
                failed => {
                    let error = failed.map_or_else(|_| "no answer in time".to_owned(), |bid| format!("{bid:?}"));
                    warn!(error, "the lease could not be asked for");
                    Next::Renew
                }
            };
            match next {
                Next::Renew => sleep(times.retry_period).await,
                // The next one need not wait where the last one has given the lease back, nor for longer than it is held.
                Next::Ask { free_at } => {
                    let free_in = free_at.map(|at| at.saturating_duration_since(Instant::now()));
                    let pause = free_in.unwrap_or(times.retry_period).min(times.retry_period);
                    let _ = timeout(pause, changes.next()).await;
                }
            }
        }
    }
}

/// What is done after a bid.
enum Next {
    /// The lease is renewed after a while.
    Renew,
    /// It is asked for again when it changes, or when it is free.
    Ask { free_at: Option<Instant> },
}

impl Leadership {
    /// Keeps the label on the pod that leads; ends never. What is not answered within `deadline` is asked again.
    pub async fn keep_label(self, label: LeaderLabel, deadline: Duration) {
        let mut changes = self.changes();
        loop {
            let pause = match self.leads() {
                false => Duration::MAX,
                true => match timeout(deadline, label.claim()).await {
                    Ok(Ok(())) => LABEL_PERIOD,
                    Ok(Err(error)) => {
                        warn!(%error, "the leader's pod could not be labelled");
                        LABEL_RETRY
                    }
                    Err(_) => {
                        warn!("the leader's pod could not be labelled: the API server does not answer");
                        LABEL_RETRY
                    }
                },
            };
            let _ = timeout(pause, changes.changed()).await;
        }
    }
}
