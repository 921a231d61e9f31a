//! Which replica leads: the one that holds a Lease, in the way of client-go's leader election.
//!
//! A candidate takes a lease that nobody holds, or whose record it has not seen change for as long as the record says, by
//! its own clock: the times in the record are for people. Each write has the version that was read as its precondition, so
//! of several candidates one succeeds.

use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::time::Instant;

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
        /// When it is free, should it not be renewed until then; none if that is not known.
        free_at: Option<Instant>,
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
            let free_at = changed + duration;
            if Instant::now() < free_at {
                return Ok(Bid::Lost { holder, free_at: Some(free_at) });
            }
        }
        let lease = Lease { spec: Some(self.record(Some(&record))), ..lease };
        let renewed = Instant::now();
        let written = self.leases.replace(&self.options.name, &PostParams::default(), &lease).await;
        match written {
            // It may have been an earlier bid of ours, which came late: whether it is still ours is not known.
            Err(error @ kube::Error::Api(_)) if holder == self.options.identity => Err(error),
            written => self.outcome(renewed, written),
        }
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
            Err(kube::Error::Api(status)) if status.code == 409 => {
                return Ok(Bid::Lost { holder: String::new(), free_at: None });
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use tokio::time::sleep;

    use super::super::mock::{ApiServer, failure};
    use super::*;

    /// The lease as the API server has it.
    type Stored = Arc<Mutex<Option<Value>>>;

    /// An API server that keeps one lease, and makes it at this time.
    fn server(stored: &Stored, made: &'static str) -> ApiServer {
        let stored = Arc::clone(stored);
        ApiServer::new(move |request| {
            let mut stored = stored.lock();
            let body: Option<Value> =
                request.split_once(" {").map(|(_, body)| serde_json::from_str(&format!("{{{body}")).unwrap());
            let version = stored.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
            match (request.split(' ').next().unwrap(), body) {
                ("GET", _) => {}
                ("POST", Some(mut lease)) if version.is_none() => {
                    lease["metadata"]["creationTimestamp"] = json!(made);
                    lease["metadata"]["resourceVersion"] = json!("1");
                    *stored = Some(lease);
                }
                ("PUT", Some(mut lease)) if version.as_ref() == Some(&lease["metadata"]["resourceVersion"]) => {
                    let next = version.as_ref().and_then(Value::as_str).unwrap().parse::<u64>().unwrap() + 1;
                    lease["metadata"]["resourceVersion"] = json!(next.to_string());
                    *stored = Some(lease);
                }
                _ => return Some(failure(409, "Conflict", "it has changed")),
            }
            Some(stored.as_ref().map_or_else(|| failure(404, "NotFound", "no lease"), |lease| (200, lease.to_string())))
        })
    }

    fn candidate(server: &ApiServer, identity: &str) -> Candidate {
        let options = LeaseOptions {
            namespace: "ns".into(),
            name: "testudo".into(),
            identity: identity.into(),
            duration: Duration::from_secs(1),
        };
        Candidate::new(server.client.clone(), options)
    }

    async fn epoch_of(candidate: &mut Candidate) -> Option<u64> {
        match candidate.bid().await.expect("an answer") {
            Bid::Won { epoch, .. } => Some(epoch),
            Bid::Lost { .. } => None,
        }
    }

    const MADE: &str = "2026-01-02T03:04:05Z";

    #[tokio::test]
    async fn one_holds_it_until_it_has_not_been_renewed_for_its_duration() {
        let stored = Stored::default();
        let server = server(&stored, MADE);
        let (mut a, mut b) = (candidate(&server, "a"), candidate(&server, "b"));
        let first = epoch_of(&mut a).await.expect("nobody held it");
        let lost = b.bid().await.expect("an answer");
        assert!(matches!(&lost, Bid::Lost { holder, free_at: Some(_) } if holder == "a"), "{lost:?}");
        sleep(Duration::from_millis(700)).await;
        assert_eq!(epoch_of(&mut a).await, Some(first), "a renewal begins no new term");
        sleep(Duration::from_millis(700)).await;
        assert_eq!(epoch_of(&mut b).await, None, "it was renewed meanwhile");
        sleep(Duration::from_millis(1_100)).await;
        assert_eq!(epoch_of(&mut b).await, Some(first + 1));
        assert_eq!(epoch_of(&mut a).await, None);
    }

    #[tokio::test]
    async fn nobody_believes_the_times_in_the_record() {
        for renewed in ["2001-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"] {
            let record =
                json!({"holderIdentity": "a", "leaseDurationSeconds": 1, "renewTime": renewed, "leaseTransitions": 4});
            let metadata = json!({"name": "testudo", "resourceVersion": "9", "creationTimestamp": MADE});
            let stored: Stored = Arc::new(Mutex::new(Some(json!({"metadata": metadata, "spec": record}))));
            let server = server(&stored, MADE);
            let mut b = candidate(&server, "b");
            assert_eq!(epoch_of(&mut b).await, None, "{renewed}");
            sleep(Duration::from_millis(1_100)).await;
            assert_eq!(epoch_of(&mut b).await, Some(1_767_323_045_000_005), "{renewed}");
        }
    }

    #[tokio::test]
    async fn a_lease_that_is_made_anew_has_greater_epochs() {
        let stored = Stored::default();
        let before = server(&stored, MADE);
        let (mut a, mut b) = (candidate(&before, "a"), candidate(&before, "b"));
        let mut last = epoch_of(&mut a).await.expect("nobody held it");
        for _ in 0..3 {
            a.release().await.unwrap();
            last = last.max(epoch_of(&mut b).await.expect("it was given back"));
            b.release().await.unwrap();
            last = last.max(epoch_of(&mut a).await.expect("it was given back"));
        }
        *stored.lock() = None;
        let after = server(&stored, "2026-01-02T03:04:06Z");
        assert!(epoch_of(&mut candidate(&after, "c")).await.expect("nobody holds it") > last);
    }

    #[tokio::test]
    async fn who_gives_it_back_need_not_be_waited_for() {
        let stored = Stored::default();
        let server = server(&stored, MADE);
        let (mut a, mut b) = (candidate(&server, "a"), candidate(&server, "b"));
        let first = epoch_of(&mut a).await.expect("nobody held it");
        b.release().await.unwrap();
        assert_eq!(epoch_of(&mut b).await, None, "only its holder can give it back");
        a.release().await.unwrap();
        assert_eq!(epoch_of(&mut b).await, Some(first + 1));
    }

    #[tokio::test]
    async fn of_two_at_once_one_is_faster() {
        let stored = Stored::default();
        let server = server(&stored, MADE);
        let (mut a, mut b) = (candidate(&server, "a"), candidate(&server, "b"));
        // Both find none, and both make one.
        let (first, second) = tokio::join!(epoch_of(&mut a), epoch_of(&mut b));
        assert!(first.is_some() != second.is_some(), "{first:?} {second:?}");
        a.release().await.unwrap();
        b.release().await.unwrap();
        let (first, second) = tokio::join!(epoch_of(&mut a), epoch_of(&mut b));
        assert!(first.is_some() != second.is_some(), "{first:?} {second:?}");
    }

    #[tokio::test]
    async fn an_earlier_renewal_that_comes_late_takes_it_from_nobody() {
        let stored = Stored::default();
        let fresh = server(&stored, MADE);
        let mut a = candidate(&fresh, "a");
        assert!(epoch_of(&mut a).await.is_some());
        // Between reading and writing an earlier write of ours takes effect.
        let lease = stored.lock().clone().map(|lease| lease.to_string()).expect("a lease");
        let late = ApiServer::new(move |request| match request.starts_with("GET") {
            true => Some((200, lease.clone())),
            false => Some(failure(409, "Conflict", "it has changed")),
        });
        assert!(candidate(&late, "a").bid().await.is_err(), "whether it is still ours is not known");
        assert_eq!(epoch_of(&mut candidate(&late, "b")).await, None);
    }

    #[tokio::test]
    async fn what_is_not_answered_is_an_error() {
        let denied = ApiServer::new(|_| Some(failure(403, "Forbidden", "no")));
        assert!(candidate(&denied, "a").bid().await.is_err());
    }
}
