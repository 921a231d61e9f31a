//! `--policy`: who is compared. Pods on nodes and instances on MIG GPUs each have policies of their own, some of which
//! have the same names.

use std::collections::BTreeSet;

use anyhow::{bail, ensure};

use crate::sim::mig::PolicyKind;
use crate::sim::policy::Policy;

/// Those that place pods on nodes.
pub fn of_pods(names: &[String]) -> anyhow::Result<Vec<Policy>> {
    let mut policies = vec![];
    for name in names {
        match name.parse::<Policy>() {
            Ok(policy) => policies.push(policy),
            Err(_) if name.parse::<PolicyKind>().is_ok() => bail!(
                "policy {name:?} places MIG instances (--gpus, --product, --mix); for nodes and pods there are {}",
                Policy::known()
            ),
            Err(error) => bail!(error),
        }
    }
    each_once(&policies)?;
    Ok(policies)
}

/// Those that place MIG instances, by the names by which they were asked for: who reads the report looks for these.
pub fn of_mig(names: &[String]) -> anyhow::Result<Vec<(String, PolicyKind)>> {
    let mut policies = vec![];
    for name in names {
        match name.parse::<PolicyKind>() {
            Ok(policy) => policies.push((name.clone(), policy)),
            Err(_) if name.parse::<Policy>().is_ok() => bail!(
                "policy {name:?} places pods on nodes (--nodes, --fleet); for MIG instances there are {}",
                PolicyKind::known()
            ),
            Err(error) => bail!(error),
        }
    }
    each_once(&policies.iter().map(|(_, policy)| *policy).collect::<Vec<_>>())?;
    Ok(policies)
}

fn each_once<P: Ord>(policies: &[P]) -> anyhow::Result<()> {
    let distinct: BTreeSet<&P> = policies.iter().collect();
    ensure!(distinct.len() == policies.len(), "--policy names a policy twice");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::*;
    use crate::cli::simulate::args::Args;

    #[test]
    fn the_help_names_every_policy() {
        let help = Args::augment_args(Command::new("simulate")).render_long_help().to_string();
        let names = Policy::ALL.map(Policy::name).into_iter().chain(PolicyKind::ALL.iter().map(|kind| kind.name()));
        for name in names {
            assert!(help.contains(name), "{name}");
        }
    }
}
