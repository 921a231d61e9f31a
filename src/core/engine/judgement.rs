//! What a snapshot says of one pod.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::sync::Arc;

use super::gangs::Fate;
use super::profile::Profile;
use super::snapshot::Snapshot;
use super::verdicts::{Refusal, Told, Verdict, VerdictTable};
use crate::cluster::{NodeState, Slot};
use crate::model::node::{Node, NodeName};
use crate::model::pod::Pod;
use crate::model::quota::OverQuota;
use crate::placement::{Peers, Rank, Reason};

/// A node of an offer.
#[derive(Debug, Clone, Copy)]
pub enum Offered<'a> {
    /// One that the state is expected to know.
    Named(&'a str),
    /// One described in the request, for when the state does not know it (an autoscaler's template).
    Described(&'a Node),
}

impl<'a> Offered<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::Named(name) => name,
            Self::Described(node) => node.name().as_str(),
        }
    }
}

/// A node of an offer on which the pod fits.
#[derive(Debug, Clone, Copy)]
pub struct Fitting {
    /// Where in the offer it stands.
    pub at: usize,
    /// How well the pod fits there: its rank, [packed](Rank::packed).
    pub packed: u64,
    slot: Option<Slot>,
}

/// Places of the best packed rank that was offered, in the order in which they were.
#[derive(Default)]
struct Equals {
    packed: u64,
    slots: Vec<Slot>,
}

impl Equals {
    fn offer(&mut self, packed: u64, slot: Slot) {
        match packed.cmp(&self.packed) {
            Ordering::Greater if !self.slots.is_empty() => {}
            Ordering::Equal => self.slots.push(slot),
            _ => (self.packed, self.slots) = (packed, vec![slot]),
        }
    }
}

/// What a snapshot says of one pod.
#[derive(Debug)]
pub struct Judgement<'a> {
    snapshot: &'a Snapshot,
    pod: Pod,
    profile: Arc<Profile>,
    /// What every pod with this demand is told; found out when it is first asked, which a pod that is held never is.
    table: OnceCell<Arc<VerdictTable>>,
    /// The node on which the pod itself is assumed to be, and the verdict on it but for that.
    own: Option<(NodeName, Verdict)>,
    /// Where the pod's service is, if it belongs to one; found out when it is first asked.
    peers: OnceCell<Option<Peers<'a>>>,
    /// Why it may go nowhere for the sake of its namespace's quota.
    over_quota: Option<Arc<Refusal>>,
    /// Where its gang lets it go.
    fate: Fate,
}

impl<'a> Judgement<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        pod: &Pod,
        own: Option<(NodeName, Verdict)>,
        over_quota: Option<OverQuota>,
        fate: Fate,
    ) -> Self {
        let over_quota = over_quota.map(|over| Arc::new(Refusal::of(&Reason::OverQuota(Box::new(over)))));
        let profile = Arc::clone(snapshot.profile(pod));
        Self {
            snapshot,
            pod: pod.clone(),
            profile,
            table: OnceCell::new(),
            own,
            peers: OnceCell::new(),
            over_quota,
            fate,
        }
    }

    /// The profile by which it is placed.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The verdict on a node, but for who else is around there, see [`Judgement::refined`]. A node that the state does not
    /// know is judged by its description, as idle, if it has one.
    pub fn of(&self, node: Offered<'_>) -> Verdict {
        if let Some(why) = self.forbidden(node.name()) {
            return Verdict::No(why);
        }
        match (self.snapshot.slot(node.name()), node) {
            (Some(slot), _) => self.in_slot(slot),
            (None, Offered::Described(node)) => {
                let verdict = self.snapshot.verdict(&self.pod.demand, &NodeState::idle(node.clone()));
                self.suited_verdict(verdict, node, None)
            }
            (None, Offered::Named(_)) => Verdict::no(Reason::UnknownNode),
        }
    }

    /// What the pod is told of nodes, in their order: [`of`](Self::of) for many nodes at once.
    pub fn told<'n>(&self, nodes: impl ExactSizeIterator<Item = Offered<'n>>) -> Told {
        let is_plain = self.snapshot.board().is_plain();
        if let (true, Fate::Held(why) | Fate::Unsettled(_, why)) = (is_plain, &self.fate) {
            let mut told = Told::expecting(nodes.len(), std::slice::from_ref(why));
            nodes.for_each(|_| told.refused_first());
            return told;
        }
        let is_free = is_plain && self.may_go_anywhere();
        let table = self.table();
        let own = self.own_slot();
        let mut told = Told::expecting(nodes.len(), table.refusals());
        for node in nodes {
            let slot = match node {
                Offered::Named(name) if is_free => self.snapshot.slot_of(name).filter(|slot| Some(*slot) != own),
                _ => None,
            };
            match slot {
                Some(slot) => table.tell(slot, &mut told),
                None => match self.of(node) {
                    Verdict::Fits(_) => told.fits(),
                    Verdict::No(why) => told.refused(&why),
                },
            }
        }
        told
    }

    /// On which nodes of an offer the pod fits, in their order, and how well. Where who else is around decides last, it is
    /// looked at between the best only, if there are several.
    pub fn fitting<'n>(&self, nodes: impl ExactSizeIterator<Item = Offered<'n>>) -> Vec<Fitting> {
        let own = self.own_slot();
        let table = self.is_table_right().then(|| self.table());
        let mut fitting: Vec<Fitting> = Vec::with_capacity(nodes.len());
        let mut best: Option<(u64, Rank)> = None;
        for (at, node) in nodes.enumerate() {
            let slot = self.snapshot.slot_of(node.name());
            let is_named = matches!(node, Offered::Named(_));
            let from_table = table.zip(slot.filter(|slot| is_named && Some(*slot) != own));
            let found = match from_table {
                Some((table, slot)) => table.packed(slot).map(|packed| (packed, None)),
                None => self.of(node).rank().map(|rank| (rank.packed(), Some(rank))),
            };
            let Some((packed, rank)) = found else { continue };
            if best.is_none_or(|(least, _)| packed < least) {
                best =
                    rank.or_else(|| from_table.and_then(|(table, slot)| table.rank(slot))).map(|rank| (packed, rank));
            }
            fitting.push(Fitting { at, packed, slot });
        }
        if let Some((least, rank)) = best {
            self.refine(&mut fitting, least, rank);
        }
        fitting
    }

    /// Lets who is around decide between the best, if there are several. All of them have the same rank but for that.
    fn refine(&self, fitting: &mut [Fitting], least: u64, rank: Rank) {
        if fitting.iter().filter(|place| place.packed == least).count() > 1 {
            for place in fitting.iter_mut().filter(|place| place.packed == least) {
                place.packed = self.among(rank, place.slot).packed();
            }
        }
    }

    /// As far as its gang and its namespace's quota are concerned.
    fn may_go_anywhere(&self) -> bool {
        matches!(self.fate, Fate::Free) && self.over_quota.is_none()
    }

    /// Is what the table says of a node the pod's rank there, but for who else is around?
    fn is_table_right(&self) -> bool {
        self.snapshot.board().is_plain() && self.may_go_anywhere() && self.profile.leaves_ranks(self.pod.priority)
    }

    fn own_slot(&self) -> Option<Slot> {
        self.own.as_ref().and_then(|(node, _)| self.snapshot.slot_of(node.as_str()))
    }

    /// How well the pod fits on a node, if it does, with who else is around there.
    pub fn refined(&self, node: Offered<'_>) -> Option<Rank> {
        self.of(node).rank().map(|rank| self.among(rank, self.snapshot.slot_of(node.name())))
    }

    fn among(&self, rank: Rank, node: Option<Slot>) -> Rank {
        match self.peers.get_or_init(|| self.snapshot.peers(&self.pod, &self.profile, self.own_slot())) {
            Some(peers) => rank.among(peers.around(node)),
            None => rank,
        }
    }

    /// The best of all nodes that the pod fits on, if there is one; of equals the first by name.
    pub fn best(&self) -> Option<&'a NodeName> {
        match &self.fate {
            Fate::Held(_) | Fate::Unsettled(..) => return None,
            Fate::Planned(place, _) => {
                let state = self.snapshot.node(place.as_str())?;
                return self.of(Offered::Named(place.as_str())).rank().map(|_| state.name());
            }
            Fate::Free if self.over_quota.is_some() => return None,
            Fate::Free => {}
        }
        let node_in = |slot: Slot| self.snapshot.slots()[slot].as_ref()?.node();
        let rank_in = |slot: Slot| self.rank_in_slot(slot, node_in(slot)?);
        let own = self.own_slot();
        let table = self.is_table_right().then(|| self.table());
        let mut equals = Equals::default();
        for slot in self.snapshot.slots_by_name() {
            let packed = match table {
                Some(table) if Some(slot) != own => table.packed(slot),
                _ => rank_in(slot).map(Rank::packed),
            };
            packed.into_iter().for_each(|packed| equals.offer(packed, slot));
        }
        // They have the same rank but for who else is around.
        let rank = rank_in(*equals.slots.first()?)?;
        let best = equals.slots.into_iter().min_by_key(|slot| self.among(rank, Some(*slot)).packed())?;
        node_in(best).map(|node| node.name())
    }

    /// How good a node on which the pod fits would be in a state that it could be in.
    pub fn rank_in(&self, state: &NodeState) -> Rank {
        let rank = self.snapshot.rank(&self.pod.demand, state);
        let Some(node) = state.node() else { return rank };
        let slot = self.snapshot.slot_of(node.name().as_str());
        self.among(self.suited(rank, node, slot), slot)
    }

    /// May the pod not go to a node whoever else went from there?
    pub fn forbids(&self, node: &str) -> bool {
        self.forbidden(node).is_some()
    }

    /// Why the pod may not go to a node for the sake of a gang, its own or another, or of claims.
    fn forbidden(&self, name: &str) -> Option<Arc<Refusal>> {
        let contested = self.snapshot.board().contests(name, &self.pod.demand);
        contested.or_else(|| self.forbidden_by_gang(name))
    }

    fn forbidden_by_gang(&self, name: &str) -> Option<Arc<Refusal>> {
        match &self.fate {
            Fate::Held(why) | Fate::Unsettled(_, why) => Some(Arc::clone(why)),
            Fate::Planned(place, elsewhere) => (place.as_str() != name).then(|| Arc::clone(elsewhere)),
            Fate::Free if self.over_quota.is_some() => self.over_quota.clone(),
            Fate::Free => {
                let gang = self.pod.membership.as_ref().map(|membership| &membership.gang);
                self.snapshot.board().keeps_free(name, self.pod.priority, self.pod.created_s, gang)
            }
        }
    }

    fn table(&self) -> &VerdictTable {
        self.table.get_or_init(|| self.snapshot.verdicts_on(&self.pod.demand))
    }

    fn rank_in_slot(&self, slot: Slot, node: &Node) -> Option<Rank> {
        let rank = match &self.own {
            _ if self.forbidden(node.name().as_str()).is_some() => None,
            Some((own, verdict)) if own == node.name() => verdict.rank(),
            _ => self.table().rank(slot),
        };
        rank.map(|rank| self.suited(rank, node, Some(slot)))
    }

    fn in_slot(&self, slot: Slot) -> Verdict {
        let state = self.snapshot.slots()[slot].as_ref();
        let Some(node) = state.and_then(|state| state.node()) else { return Verdict::no(Reason::UnknownNode) };
        let verdict = match &self.own {
            Some((own, verdict)) if own == node.name() => verdict.clone(),
            _ => self.table().verdict(slot),
        };
        self.suited_verdict(verdict, node, Some(slot))
    }

    fn suited_verdict(&self, verdict: Verdict, node: &Node, slot: Option<Slot>) -> Verdict {
        match verdict {
            Verdict::Fits(rank) => Verdict::Fits(self.suited(rank, node, slot)),
            no => no,
        }
    }

    /// The rank by what the pod's profile places for.
    fn suited(&self, rank: Rank, node: &Node, slot: Option<Slot>) -> Rank {
        let rank = self.snapshot.suited(rank, &self.profile, self.pod.priority, node);
        if self.profile.order.asks_for_others_last() { rank } else { self.among(rank, slot) }
    }
}
