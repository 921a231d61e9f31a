//! Which replica leads: the one that holds a Lease, in the way of client-go's leader election.
//!
//! A candidate takes a lease that nobody holds, or whose record it has not seen change for as long as the record says, by
//! its own clock: the times in the record are for people. Each write has the version that was read as its precondition, so
//! of several candidates one succeeds.

use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};

/// Which lease, and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOptions {
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the lease.
    pub name: String,
    /// Who we are: no other process is ever called so.
    pub identity: String,
    /// How long others wait for a sign of life before they take the lease.
    pub duration: Duration,
}

/// What came of asking for the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bid {
    /// It is ours.
    Won {
        /// Greater than that of any holder before, and the same as long as nobody else holds it.
        epoch: u64,
        /// From this moment on, or later, others count the time until they may take it.
        renewed: Instant,
    },
    /// Somebody else holds it, or was faster.
    Lost {
        /// Who; empty if that is not known.
        holder: String,
    },
}

/// A candidate.
pub struct Candidate {
    leases: Api<Lease>,
    options: LeaseOptions,
    /// The record as it was last seen, and when it was seen to change.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Candidate {
    /// One that asks through `client`.
    pub fn new(client: Client, options: LeaseOptions) -> Self {
        let leases = Api::namespaced(client, &options.namespace);
        Self { leases, options, seen: None }
    }

    /// What this candidate asks for.
    pub fn options(&self) -> &LeaseOptions {
        &self.options
    }

    /// Tells when the lease changes, as well as that can be seen: what is missed is found out by the next bid.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        let watched = watch_object(self.leases.clone(), &self.options.name).default_backoff();
        watched.map(drop)
    }

    /// Takes the lease if nobody holds it any more, renews it if it is ours.
    ///
    /// # Errors
    /// When the API server refuses or does not answer: whether the lease is ours is then not known.
    pub async fn bid(&mut self) -> Result<Bid, kube::Error> {
        let Some(lease) = self.leases.get_opt(&self.options.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.options.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.record(None)),
            };
            let renewed = Instant::now();
            return self.outcome(renewed, self.leases.create(&PostParams::default(), &lease).await);
        };
        let record = lease.spec.clone().unwrap_or_default();
        let changed = self.see(&record);
        let holder = record.holder_identity.clone().unwrap_or_default();
        if !holder.is_empty() && holder != self.options.identity {
            let duration =
                Duration::from_secs(record.lease_duration_seconds.unwrap_or_default().max(0).unsigned_abs().into());
            if changed.elapsed() < duration {
                return Ok(Bid::Lost { holder });
            }
        }
        let lease = Lease { spec: Some(self.record(Some(&record))), ..lease };
        let renewed = Instant::now();
        self.outcome(renewed, self.leases.replace(&self.options.name, &PostParams::default(), &lease).await)
    }

    /// Gives the lease back, if it is ours: the next one need not wait.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn release(&mut self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.options.name).await? else { return Ok(()) };
        let Some(record) = lease.spec.as_mut().filter(|r| r.holder_identity.as_ref() == Some(&self.options.identity))
        else {
            return Ok(());
        };
        record.holder_identity = None;
        record.lease_duration_seconds = Some(1);
        self.leases.replace(&self.options.name, &PostParams::default(), &lease).await.map(drop)
    }

    /// Notes the record; returns when it was seen to change.
    fn see(&mut self, record: &LeaseSpec) -> Instant {
        match &self.seen {
            Some((known, at)) if known == record => *at,
            _ => {
                let now = Instant::now();
                self.seen = Some((record.clone(), now));
                now
            }
        }
    }

    /// The record by which the lease is ours, in place of this one.
    fn record(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        let is_renewal = before.is_some_and(|record| record.holder_identity.as_ref() == Some(&self.options.identity));
        let transitions = before.and_then(|record| record.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.options.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.options.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: before.filter(|_| is_renewal).map_or(now.clone(), |record| record.acquire_time.clone()),
            renew_time: now,
            lease_transitions: Some(if before.is_none() || is_renewal {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        }
    }

    fn outcome(&mut self, renewed: Instant, written: kube::Result<Lease>) -> Result<Bid, kube::Error> {
        let lease = match written {
            Ok(lease) => lease,
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(Bid::Lost { holder: String::new() }),
            Err(error) => return Err(error),
        };
        if let Some(record) = &lease.spec {
            self.see(record);
        }
        Ok(Bid::Won { epoch: epoch(&lease), renewed })
    }
}

/// Greater for each holder of a lease than for those before, also when the lease is deleted and made anew: the API server's
/// time at which it was made counts first, then how often it has changed hands. Our own clock has no part in it.
fn epoch(lease: &Lease) -> u64 {
    let made = lease.metadata.creation_timestamp.as_ref().map_or(0, |made| made.0.as_second());
    let transitions = lease.spec.as_ref().and_then(|record| record.lease_transitions).unwrap_or_default();
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(made) * 1_000_000 + part(transitions.into())
}
