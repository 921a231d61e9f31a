//! The section `leaderElection`: named as in the configurations of Kubernetes' own components.

use std::time::Duration;

use serde::Deserialize;

use super::units;

/// How one of several replicas is chosen to lead.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeaderElectionSection {
    /// Whether there are, or may be, other replicas. By default only in a pod.
    pub leader_elect: Option<bool>,
    /// For how long the others wait for a sign of life before they take the lease, `15s` by default.
    #[serde(deserialize_with = "units::duration")]
    pub lease_duration: Duration,
    /// For how long the leader acts after it has last renewed the lease, `10s` by default.
    #[serde(deserialize_with = "units::duration")]
    pub renew_deadline: Duration,
    /// How often the lease is renewed, or asked for, `2s` by default.
    #[serde(deserialize_with = "units::duration")]
    pub retry_period: Duration,
    /// Namespace of the lease; by default that of the pod, or `testudo-system`.
    pub resource_namespace: Option<String>,
    /// Name of the lease, `testudo` by default.
    pub resource_name: String,
}

impl Default for LeaderElectionSection {
    fn default() -> Self {
        Self {
            leader_elect: None,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            resource_namespace: None,
            resource_name: "testudo".into(),
        }
    }
}

impl LeaderElectionSection {
    pub(super) fn validate(&self) -> Result<(), String> {
        let Self { lease_duration, renew_deadline, retry_period, resource_name, .. } = self;
        if lease_duration.as_secs() < 1 || lease_duration.subsec_nanos() != 0 {
            return Err("leaderElection.leaseDuration must be whole seconds: it is written so in the lease".into());
        }
        if renew_deadline >= lease_duration {
            return Err("leaderElection.renewDeadline must be shorter than leaderElection.leaseDuration: \
                        the leader must have stopped before another may begin"
                .into());
        }
        if retry_period.is_zero() || *retry_period > *renew_deadline / 2 {
            return Err(
                "leaderElection.retryPeriod must be above 0s, and half of leaderElection.renewDeadline at most: \
                        one renewal that fails must not end a leadership"
                    .into(),
            );
        }
        if resource_name.is_empty() {
            return Err("leaderElection.resourceName must not be empty".into());
        }
        Ok(())
    }
}
