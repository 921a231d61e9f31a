//! How `testudo serve` takes part in the election of a leader.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::Client;
use tokio::time::timeout;
use tracing::{info, warn};

use super::source::Source;
use crate::config::Configuration;
use crate::host::{ElectionTimes, Host};
use crate::k8s::lease::{Candidate, LeaseOptions};

/// Where the lease is if nothing says so.
const DEFAULT_NAMESPACE: &str = "testudo-system";

/// For so long is tried to give the lease back at the end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Our part in the election.
pub(super) struct Election {
    candidate: Candidate,
    times: ElectionTimes,
}

/// The pod that we run in, as the downward API tells it.
pub(super) struct OwnPod {
    pub namespace: String,
    pub name: String,
}

impl OwnPod {
    /// Nothing outside of a cluster.
    pub fn of_environment() -> Option<Self> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Some(Self { namespace: variable("POD_NAMESPACE")?, name: variable("POD_NAME")? })
    }
}

impl Election {
    /// The part that the configuration gives us; none if we are alone.
    pub fn of(configuration: &Configuration, source: &Source, client: &Client) -> Option<Self> {
        let section = &configuration.leader_election;
        if !section.leader_elect.unwrap_or_else(|| source.is_own_cluster()) {
            return None;
        }
        let pod = OwnPod::of_environment();
        let of_pod = pod.as_ref().map(|pod| pod.namespace.clone());
        let options = LeaseOptions {
            namespace: section.resource_namespace.clone().or(of_pod).unwrap_or_else(|| DEFAULT_NAMESPACE.into()),
            name: section.resource_name.clone(),
            identity: identity(pod.map(|pod| pod.name)),
            duration: section.lease_duration,
        };
        info!(
            namespace = options.namespace,
            lease = options.name,
            identity = options.identity,
            "one of several replicas"
        );
        let times = ElectionTimes { renew_deadline: section.renew_deadline, retry_period: section.retry_period };
        Some(Self { candidate: Candidate::new(client.clone(), options), times })
    }

    /// Takes part; ends never.
    pub async fn take_part(&mut self, host: &Host) {
        host.stand_for_election(&mut self.candidate, self.times).await;
    }

    /// Gives the lease back, so that the next leader need not wait.
    pub async fn give_back(mut self) {
        match timeout(RELEASE_TIMEOUT, self.candidate.release()).await {
            Ok(Ok(())) => info!("the lease is given back"),
            failed => warn!(?failed, "the lease could not be given back: the next leader waits until it has run out"),
        }
    }
}

/// A name that no other process has, nor had: a container that starts again is another one.
fn identity(pod: Option<String>) -> String {
    let host = || env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}_{}_{:x}", pod.or_else(host).unwrap_or_else(|| "testudo".into()), std::process::id(), began.as_nanos())
}
