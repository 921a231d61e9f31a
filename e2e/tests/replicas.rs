//! Two replicas of testudo, one of which leads, the Service in front of them, and the scheduler that calls it: as they are shipped.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Adaptation, Metrics, Scheduler, Service, Testudo};

use crate::deployed::{Deployed, NAMESPACE};

pub struct Replicas {
    // Ends before its extender does.
    pub scheduler: Scheduler,
    pub service: Service,
    /// Each with the name of its pod.
    pub testudos: [(String, Testudo); 2],
}

impl Replicas {
    /// Starts a scheduler of this name, and two testudos that are ready, with other values at these places of their
    /// configuration. Perhaps none of them leads yet.
    pub async fn start(d: &Deployed, scheduler: &str, changes: &[(&str, Value)]) -> Result<Self> {
        let start = |number: usize| -> Result<(String, Testudo)> {
            let name = format!("{scheduler}-testudo-{number}");
            let options = d.replica(&name)?.config(d.config(scheduler, changes)?);
            Ok((name, Testudo::start_unready(&d.cp, options)?))
        };
        let mut testudos = [start(0)?, start(1)?];
        let backends = testudos.iter().map(|(name, testudo)| Ok((name.clone(), address(testudo)?)));
        let backends = backends.collect::<Result<BTreeMap<String, SocketAddr>>>()?;
        let service = Service::start(&d.cp, NAMESPACE, "testudo.dev/leader=true", backends).await?;
        for (_, testudo) in &mut testudos {
            testudo.until_ready().await?;
        }
        let adaptation = Adaptation {
            scheduler_name: Some(scheduler.to_owned()),
            url: format!("https://{}", service.address()),
            tls: testudos[0].1.extender().tls,
            node_cache_capable: None,
        };
        Ok(Self { scheduler: d.adapted_scheduler(&adaptation).await?, service, testudos })
    }

    /// Waits until one replica leads and has the label, and another one than `former`; returns its number.
    pub async fn until_other_leads(&self, former: Option<usize>) -> Result<usize> {
        wait::until("a leader", PATIENCE, async || {
            let selected = self.service.selected();
            let leader = self.testudos.iter().position(|(name, _)| selected.contains(name));
            Ok(match leader {
                Some(leader) if selected.len() == 1 && Some(leader) != former => Look::Done(leader),
                _ => Look::NotYet(format!("labelled: {selected:?}")),
            })
        })
        .await
    }

    pub fn testudo(&mut self, number: usize) -> &mut Testudo {
        &mut self.testudos[number].1
    }

    /// Fails unless exactly this replica says of itself that it leads.
    pub async fn check_leader(&self, number: usize) -> Result<()> {
        for (at, (name, testudo)) in self.testudos.iter().enumerate() {
            let leads = Metrics::read(testudo.metrics()).await?.sum("testudo_leader", &[])?;
            ensure!((leads == 1.0) == (at == number), "{name} says testudo_leader {leads}, replica {number} leads");
        }
        Ok(())
    }

    pub async fn end(self) -> Result<()> {
        drop(self.scheduler);
        self.service.remove_pods(self.testudos.iter().map(|(name, _)| name.as_str())).await?;
        for (_, mut testudo) in self.testudos {
            testudo.stop().await?;
        }
        Ok(())
    }
}

/// Where a testudo is called.
pub fn address(testudo: &Testudo) -> Result<SocketAddr> {
    let (_, address) = testudo.url().split_once("://").context("a URL without a scheme")?;
    address.parse().with_context(|| format!("{address} is no address"))
}
