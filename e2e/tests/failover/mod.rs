//! Two replicas, one of which leads: it goes in peace, it is killed, it is stopped and comes back. Nobody is placed twice, and
//! nobody waits longer than it takes to notice.

mod handover;
mod paused;
mod upgrade;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Adaptation, Metrics, Scheduler, Service, Testudo};

use crate::deployed::{Deployed, NAMESPACE};
use crate::stage::Stage;

/// Each alone: there is one lease.
pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    [handover::scenarios(stage), paused::scenarios(stage), upgrade::scenarios(stage)].into_iter().flatten().collect()
}

/// The replicas, in front of them the Service, and the scheduler that calls it.
struct Replicas {
    _scheduler: Scheduler,
    service: Service,
    replicas: [(String, Testudo); 2],
}

impl Replicas {
    /// Starts two replicas of what is shipped, and a scheduler of this name.
    async fn start(d: &Deployed, scheduler: &str) -> Result<Self> {
        let names = ["0", "1"].map(|number| format!("{scheduler}-testudo-{number}"));
        let mut replicas = Vec::new();
        for name in &names {
            let options = d.replica(name)?.config(d.config(scheduler, &[])?);
            replicas.push((name.clone(), Testudo::start_unready(&d.cp, options)?));
        }
        let backends: BTreeMap<String, SocketAddr> =
            replicas.iter().map(|(name, testudo)| Ok((name.clone(), address(testudo)?))).collect::<Result<_>>()?;
        let service = Service::start(&d.cp, NAMESPACE, "testudo.dev/leader=true", backends).await?;
        let mut replicas: [(String, Testudo); 2] = replicas.try_into().ok().context("not two")?;
        for (_, testudo) in &mut replicas {
            testudo.until_ready().await?;
        }
        let adaptation = Adaptation {
            scheduler_name: Some(scheduler.to_owned()),
            url: format!("https://{}", service.address()),
            tls: replicas[0].1.extender().tls,
            node_cache_capable: None,
        };
        let _scheduler = d.adapted_scheduler(&adaptation).await?;
        let replicas = Self { _scheduler, service, replicas };
        replicas.until_other_leads(None).await?;
        Ok(replicas)
    }

    /// Waits until one replica leads and has the label, and another one than `former`; returns its number.
    async fn until_other_leads(&self, former: Option<usize>) -> Result<usize> {
        wait::until("a leader", PATIENCE, async || {
            let selected = self.service.selected();
            let leader = self.replicas.iter().position(|(name, _)| selected.contains(name));
            Ok(match leader {
                Some(leader) if selected.len() == 1 && Some(leader) != former => Look::Done(leader),
                _ => Look::NotYet(format!("labelled: {selected:?}")),
            })
        })
        .await
    }

    fn testudo(&mut self, number: usize) -> &mut Testudo {
        &mut self.replicas[number].1
    }

    /// Fails unless exactly this replica says of itself that it leads.
    async fn check_leader(&self, number: usize) -> Result<()> {
        for (at, (name, testudo)) in self.replicas.iter().enumerate() {
            let leads = Metrics::read(testudo.metrics()).await?.sum("testudo_leader", &[])?;
            ensure!((leads == 1.0) == (at == number), "{name} says testudo_leader {leads}, replica {number} leads");
        }
        Ok(())
    }

    async fn end(self) -> Result<()> {
        let names: Vec<&str> = self.replicas.iter().map(|(name, _)| name.as_str()).collect();
        self.service.remove_pods(names).await?;
        for (_, mut testudo) in self.replicas {
            testudo.stop().await?;
        }
        Ok(())
    }
}

fn address(testudo: &Testudo) -> Result<SocketAddr> {
    let (_, address) = testudo.url().split_once("://").context("a URL without a scheme")?;
    address.parse().with_context(|| format!("{address} is no address"))
}
