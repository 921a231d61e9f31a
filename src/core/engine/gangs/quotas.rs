//! Quotas of gangs: one that would pass a limit waits as a whole, and what claims and gangs have counts.

use super::roster::{Roster, Seat};
use super::{GangKeeper, Kept};
use crate::cluster::{Cluster, Usage};
use crate::engine::Policy;
use crate::engine::quotas::Used;
use crate::model::gang::{GangKey, Role};
use crate::model::quota::{Amounts, Item};
use crate::placement::gang::No;

impl GangKeeper {
    /// What namespaces have beside what their pods hold; nothing where there are no quotas.
    pub fn usage(&self, policy: &Policy) -> Usage {
        if policy.placement.quotas.is_empty() {
            return Usage::default();
        }
        let mut usage = self.claims.usage(&policy.claims);
        for (key, _) in self.kept.iter().filter(|(key, kept)| counts(key, kept)) {
            usage.add(&key.namespace, &Amounts::whole(Item::Gangs, 1));
        }
        usage
    }

    /// What of its namespace's quota stands against the members of a gang that have no place.
    pub(super) fn over_quota(&self, key: &GangKey, roster: &Roster, cluster: &Cluster, policy: &Policy) -> Option<No> {
        policy.placement.quotas.of(&key.namespace)?;
        let beside = self.usage(policy);
        self.beyond_quota(key, roster, &Used { by_pods: cluster.usage(), beside: &beside }, policy)
    }

    /// The same, where it is known what there is of the quotas.
    fn beyond_quota(&self, key: &GangKey, roster: &Roster, used: &Used<'_>, policy: &Policy) -> Option<No> {
        let is_new = self.kept.get(key).is_some_and(|kept| !counts(key, kept)) && key.is_of_several();
        let gang = Amounts::whole(Item::Gangs, i64::from(is_new));
        let seats = roster.seats.iter().filter(|seat| seat.node.is_none());
        let more = || seats.fold(gang, |sum, seat| sum.plus(&self.amounts(seat, policy)));
        let over = policy.placement.quotas.check_amounts(&key.namespace, used, more).err()?;
        Some(No::OverQuota(*over))
    }

    /// The gangs that were over quota and are not any more, with the role where that was so of members beyond those that must
    /// start: what ends a quota need not make a place free where one would fit.
    pub(super) fn within_quota_again(&self, cluster: &Cluster, policy: &Policy) -> Vec<(GangKey, Option<Role>)> {
        let mut were_over = { self.kept.iter() }
            .flat_map(|(key, kept)| kept.roles_over_quota().map(move |role| (key, kept, role)))
            .peekable();
        if were_over.peek().is_none() {
            return vec![];
        }
        // Counted once: thousands may wait.
        let beside = self.usage(policy);
        let used = Used { by_pods: cluster.usage(), beside: &beside };
        let is_over = |(key, kept, role): &(&GangKey, &Kept, Option<&Role>)| {
            let roster = match role {
                None => kept.roster_to_plan(&self.claims),
                Some(role) => kept.roster_without(|other| other != *role, &self.claims),
            };
            roster.is_some_and(|roster| self.beyond_quota(key, &roster, &used, policy).is_some())
        };
        let are_within = were_over.filter(|it| !is_over(it));
        are_within.map(|(key, _, role)| (key.clone(), role.cloned())).collect()
    }

    /// What a member asks for that it does not have yet.
    fn amounts(&self, seat: &Seat, policy: &Policy) -> Amounts {
        let open = seat.needs.open.iter().filter(|open| open.is_ours && !self.claims.has_devices(&open.claim.key));
        open.fold(Amounts::of(&seat.demand), |sum, open| sum.plus(&policy.claims.amounts(&open.claim)))
    }
}

/// Does it count as one of the gangs of its namespace? A pod alone with its claims is none.
fn counts(key: &GangKey, kept: &Kept) -> bool {
    key.is_of_several() && (kept.runs || !kept.batches.is_empty())
}
