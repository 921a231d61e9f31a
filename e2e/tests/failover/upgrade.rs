//! A former version leads and has gangs half way; then it goes, as in the update of a Deployment, and the version that is tested
//! takes over. Nothing of what was promised is lost, and nobody else gets it meanwhile.
//!
//! The former version is the checkout of the repository that `TESTUDO_FORMER` names, with its program built
//! (`e2e/tools/former.sh`, which `make test-all` runs); without one this version takes over from itself.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Adaptation, Metrics, Namespace, Observer, Service, Testudo, chart, pod};

use crate::deployed::{Deployed, NAMESPACE, changed_config};
use crate::gangs::leader_worker_set::{SIZE, check_sets, group, member};
use crate::gangs::{WINDOW, h100s, intrude_by, intruder, is_intruder, of_gang, until_turned_away};
use crate::replicas::address;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed_alone("failover::a_former_version_hands_over", a_former_version_hands_over)]
}

/// A checkout of the repository as it was.
fn former() -> Option<PathBuf> {
    env::var_os("TESTUDO_FORMER").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

const SCHEDULER: &str = "upgrade-scheduler";

/// The scheduler of a gang that is planned before and bound after: until then nobody of this name runs.
const LATER: &str = "upgrade-later";
const LATER_GANG: [&str; 2] = ["later-0", "later-1"];

async fn a_former_version_hands_over(d: Arc<Deployed>) -> Result<()> {
    let changes = [("/gangs/schedulerNames", json!([SCHEDULER, LATER])), ("/gangs/bindWindow", json!("5m"))];
    let ours = d.replica("upgrade-new")?.config(d.config(SCHEDULER, &changes)?);
    let mut theirs = d.replica("upgrade-former")?.config(d.config(SCHEDULER, &changes)?);
    match former() {
        None => eprintln!("    this version takes over from itself: TESTUDO_FORMER names no other"),
        Some(checkout) => {
            eprintln!("    from {}", checkout.display());
            let rendered = chart::render_of(&checkout, &["tls.method=secrets"])?;
            theirs = theirs.config(changed_config(&rendered, &changes)?).program(checkout.join("target/debug/testudo"));
        }
    }

    let mut former = Testudo::start(&d.cp, theirs).await?;
    until_leads(&former).await?;
    let new = Testudo::start(&d.cp, ours).await?;
    let backends = [("upgrade-former", &former), ("upgrade-new", &new)];
    let backends: Result<BTreeMap<_, _>> =
        backends.into_iter().map(|(name, testudo)| Ok((name.to_owned(), address(testudo)?))).collect();
    let service = Service::start(&d.cp, NAMESPACE, "testudo.dev/leader=true", backends?).await?;
    until_selected(&service, "upgrade-former").await?;
    let adaptation = |name: &str| Adaptation {
        scheduler_name: Some(name.to_owned()),
        url: format!("https://{}", service.address()),
        tls: former.extender().tls,
        node_cache_capable: None,
    };
    let (first, second) = (adaptation(SCHEDULER), adaptation(LATER));
    let _scheduler = d.adapted_scheduler(&first).await?;

    let ns = d.cp.namespace("upgrade").await?;
    ns.create_nodes(h100s(&ns, 4)).await?;
    let observer = Observer::start(&ns).await?;
    // Half of a group has come and runs; for the others, whom their controller has yet to make, places are kept.
    for index in 0..SIZE / 2 {
        ns.create(member(index).scheduler(SCHEDULER)).await?;
        ns.until_running(&group()[index]).await?;
    }
    // A gang has places and is not bound.
    ns.create_all(LATER_GANG.map(|name| of_gang(pod(name).gpus(8).scheduler(LATER), "later", 2))).await?;
    let promised = until_nominated(&ns).await?;
    let intruders = intrude_by(&ns, (0..4).map(|at| intruder(at, 4).scheduler(SCHEDULER))).await?;
    until_turned_away(&ns, &intruders).await?;

    former.stop().await?;
    until_selected(&service, "upgrade-new").await?;
    until_leads(&new).await?;

    until_taken_up(&ns, &new).await?;
    ensure!(until_nominated(&ns).await? == promised, "the gang that was planned has other places: {promised:?}");
    let _later = d.adapted_scheduler(&second).await?;
    observer.until_bound_together(&LATER_GANG.map(str::to_owned), WINDOW).await?;
    ensure!(placements(&ns).await? == promised, "it was not bound where it was planned: {promised:?}");
    ns.create_all((SIZE / 2..SIZE).map(|index| member(index).scheduler(SCHEDULER))).await?;
    check_sets(&observer.until_bound(&group()).await?)?;
    ns.until_all_running(&group()).await?;
    observer.check_never_bound(is_intruder)?;
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await?;
    service.remove_pods(["upgrade-former", "upgrade-new"]).await
}

async fn until_leads(testudo: &Testudo) -> Result<()> {
    wait::until("a leader", PATIENCE, async || {
        let leads = Metrics::read(testudo.metrics()).await?.sum("testudo_leader", &[])? == 1.0;
        Ok(if leads { Look::Done(()) } else { Look::NotYet("it follows".into()) })
    })
    .await
}

async fn until_selected(service: &Service, name: &str) -> Result<()> {
    wait::until(&format!("{name} to be called"), PATIENCE, async || {
        let selected = service.selected();
        let is_it = selected.len() == 1 && selected.contains(name);
        Ok(if is_it { Look::Done(()) } else { Look::NotYet(format!("labelled: {selected:?}")) })
    })
    .await
}

/// Waits until the members of the gang that is not bound have nominations; says which.
async fn until_nominated(ns: &Namespace) -> Result<BTreeMap<String, String>> {
    let mut nominated = BTreeMap::new();
    for name in LATER_GANG {
        let node = ns.until_pod(name, "a nomination", |pod| pod.status.as_ref()?.nominated_node_name.clone()).await?;
        nominated.insert(name.to_owned(), node);
    }
    Ok(nominated)
}

/// Waits until the new leader holds what the former had promised: both members of the one gang, and of the other those that are
/// yet to be made.
async fn until_taken_up(ns: &Namespace, testudo: &Testudo) -> Result<()> {
    let held = (LATER_GANG.len() + SIZE / 2) as f64;
    wait::until(&format!("the places in {} to be held again", ns.name()), PATIENCE, async || {
        let found =
            Metrics::read(testudo.metrics()).await?.sum("testudo_ledger_holdings", &[("standing", "planned")])?;
        Ok(if found == held { Look::Done(()) } else { Look::NotYet(format!("{found} of {held}")) })
    })
    .await
}

/// Where the members of the gang that was planned are.
async fn placements(ns: &Namespace) -> Result<BTreeMap<String, String>> {
    let all = ns.placements().await?;
    let of = |name: &str| all.get(name).cloned().with_context(|| format!("{name} has no node"));
    LATER_GANG.into_iter().map(|name| Ok((name.to_owned(), of(name)?))).collect()
}
