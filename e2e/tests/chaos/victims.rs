//! What is killed, and how it comes back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testudo_e2e::control_plane::{APISERVER, ETCD};
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{ControlPlane, Metrics};

use crate::deployed::Deployed;
use crate::replicas::Replicas;

/// As the control plane calls that process.
const CONTROLLERS: &str = "kube-controller-manager";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    Etcd,
    ApiServer,
    Controllers,
    Scheduler,
    /// The testudo that leads.
    Leader,
    /// The one that does not. If none leads there are two of them.
    Follower,
}

impl Victim {
    pub const ALL: [Self; 6] =
        [Self::Etcd, Self::ApiServer, Self::Controllers, Self::Scheduler, Self::Leader, Self::Follower];
}

/// The control plane, and what is shipped.
pub struct Victims {
    cp: Arc<ControlPlane>,
    shipped: Replicas,
}

impl Victims {
    /// Starts what is shipped, with a scheduler of this name and other values at these places of testudo's configuration.
    pub async fn start(d: &Deployed, scheduler: &str, changes: &[(&str, Value)]) -> Result<Self> {
        let shipped = Replicas::start(d, scheduler, changes).await?;
        let mut victims = Self { cp: Arc::clone(&d.cp), shipped };
        victims.until_led().await?;
        Ok(victims)
    }

    /// Kills them all at once, and has them back after a while; says who it was.
    pub async fn crash(&mut self, victims: &[Victim], away: Duration) -> Result<Vec<Victim>> {
        let leader = self.leader().await;
        let mut killed = vec![];
        for victim in victims {
            killed.push(match victim {
                Victim::Leader if leader.is_none() => Victim::Follower,
                victim => *victim,
            });
            let leading = leader.unwrap_or(0);
            match victim {
                Victim::Etcd | Victim::ApiServer | Victim::Controllers => {}
                Victim::Scheduler => self.shipped.scheduler.kill()?,
                Victim::Leader => self.shipped.testudos[leading].1.kill()?,
                Victim::Follower => self.shipped.testudos[1 - leading].1.kill()?,
            }
        }
        // The last comes back first.
        let core = [(Victim::Controllers, CONTROLLERS), (Victim::ApiServer, APISERVER), (Victim::Etcd, ETCD)];
        let core: Vec<&str> = core.into_iter().filter(|(it, _)| victims.contains(it)).map(|(_, name)| name).collect();
        self.cp.crash(&core, away).await?;
        if victims.iter().any(|victim| matches!(victim, Victim::Leader | Victim::Follower)) {
            self.replicas_again(&killed).await?;
        }
        // kube-scheduler gives up by itself where it cannot renew its lease, as it does in a pod.
        if self.shipped.scheduler.process()?.check_running().is_err() {
            self.shipped.scheduler.restart().await?;
        }
        Ok(killed)
    }

    /// Has those testudos back that were killed. None ends by itself, whoever is away.
    async fn replicas_again(&mut self, killed: &[Victim]) -> Result<()> {
        let mut were_killed = killed.iter().filter(|it| matches!(it, Victim::Leader | Victim::Follower)).count();
        for (name, testudo) in &mut self.shipped.testudos {
            if let Err(error) = testudo.process()?.check_running() {
                were_killed = were_killed.checked_sub(1).with_context(|| format!("{name}: {error:#}"))?;
                testudo.restart().await?;
            }
        }
        Ok(())
    }

    /// Starts kube-controller-manager anew. It (1.36) takes nothing from a claim whose pod it has never seen: one that was bound
    /// and deleted while its own watch, after the API server was away, waited to be tried again. When it starts it looks at all
    /// claims.
    pub async fn controllers_again(&self) -> Result<()> {
        self.cp.crash(&[CONTROLLERS], Duration::ZERO).await
    }

    /// Which of the two says that it leads.
    async fn leader(&self) -> Option<usize> {
        for (number, (_, testudo)) in self.shipped.testudos.iter().enumerate() {
            let leads = async { Metrics::read(testudo.metrics()).await?.sum("testudo_leader", &[]) };
            if leads.await.is_ok_and(|leads| leads == 1.0) {
                return Some(number);
            }
        }
        None
    }

    /// Waits until one leads, and is the one that is called. Nobody has ended by itself.
    pub async fn until_led(&mut self) -> Result<()> {
        wait::until("a leader that is called", PATIENCE, async || {
            let (leader, selected) = (self.leader().await, self.shipped.service.selected());
            let is_called = leader.is_some_and(|leader| selected.iter().eq([&self.shipped.testudos[leader].0]));
            let seen = format!("replica {leader:?} leads, and {selected:?} are called");
            Ok(if is_called { Look::Done(()) } else { Look::NotYet(seen) })
        })
        .await?;
        self.shipped.testudos.iter_mut().try_for_each(|(_, testudo)| testudo.process()?.check_running())
    }

    pub async fn end(self) -> Result<()> {
        self.shipped.end().await
    }
}
