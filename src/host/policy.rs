//! The policy while it runs: a changed file is taken up, a broken one is told of and changes nothing.

use std::time::Duration;

use testudo_core::engine::PlacementPolicy;
use tracing::{error, info, warn};

use super::Host;
use crate::k8s::events::{Events, PolicyNews};
use crate::policy::{PolicyError, Read, Watched};

/// How often the file is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Who is told what becomes of the policy: the pod that we run in.
pub struct PolicyTeller {
    /// Writes Events.
    pub events: Events,
    /// The pod's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Host {
    /// Keeps what places are chosen for as the file says; ends never.
    pub async fn follow_policy(&self, mut file: Watched, teller: Option<PolicyTeller>) {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let looked = tokio::task::spawn_blocking(move || {
                let found = file.look();
                (file, found)
            });
            let Ok((back, found)) = looked.await else {
                error!("the policy file cannot be followed any more: looking at it ended in a panic");
                return;
            };
            file = back;
            let Some(found) = found else { continue };
            let news = self.take_up(found, &file);
            if let Some(teller) = &teller {
                self.tell_own_pod(teller, &news).await;
            }
        }
    }

    /// Takes up what was found, or leaves everything as it is.
    fn take_up(&self, found: Result<Read, PolicyError>, file: &Watched) -> PolicyNews {
        self.metrics.policy_read(found.is_ok());
        match found {
            Ok(Read { policy, warnings }) => {
                warnings.iter().for_each(|warning| warn!("{warning}"));
                self.set_placement(policy);
                info!(policy_file = %file.path().display(), "the policy changed and is in force");
                PolicyNews::InForce
            }
            Err(error) => {
                error!(%error, "the policy changed and cannot be used; the old one stays in force");
                PolicyNews::Refused(error.to_string())
            }
        }
    }

    /// Replaces what places are chosen for.
    pub fn set_placement(&self, placement: PlacementPolicy) {
        let mut engine = self.engine.lock();
        engine.set_placement(placement);
        if self.is_synced().is_ok() {
            engine.keep_gangs(self.now_ms());
        }
        self.publish(&mut engine);
        self.gang_work.notify_one();
    }

    async fn tell_own_pod(&self, teller: &PolicyTeller, news: &PolicyNews) {
        let own = self.pod(&teller.namespace, &teller.name);
        if let Some(pod) = own {
            teller.events.tell_of_policy(&pod, news).await;
        }
    }
}
