//! Why claims do not fit on a node: which request, and what stands against which devices.

use std::collections::BTreeMap;
use std::fmt;

use super::claim::Count;
use super::pools::PoolState;
use super::question::Question;
use super::view::{Rejection, View};

/// Why claims do not fit on a node. It names the request that the search came to last: all before it can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRefusal {
    /// The node.
    pub node: Box<str>,
    /// The claim.
    pub claim: String,
    /// The request, with each of its alternatives.
    pub asks: Vec<AskRefusal>,
    /// Pools that are being updated or contradict themselves, and hand out nothing.
    pub unusable_pools: usize,
    /// Whether the claims surely do not fit; else the search gave up.
    pub complete: bool,
}

/// What stands against an ask.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskRefusal {
    /// `request`, or `request/subrequest`.
    pub request: String,
    /// The class.
    pub class: Box<str>,
    /// How many devices it needs; none means all that match.
    pub needs: Option<u64>,
    /// How many devices the node has.
    pub devices: usize,
    /// How many of these it could use by themselves.
    pub usable: usize,
    /// What stands against the others.
    pub rejected: BTreeMap<Rejection, usize>,
    /// Whether constraints of the claim are for it.
    pub constrained: bool,
}

/// Why a question found nothing on a node.
pub(super) fn refusal(question: &Question, view: &View, deepest: (usize, usize), complete: bool) -> NodeRefusal {
    let (claim, request) = deepest;
    let ask = |ask: usize| {
        let entry = &question.asks[ask];
        AskRefusal {
            request: question.name_of(ask).1,
            class: entry.class.name.clone(),
            needs: match entry.ask.count {
                Count::Exactly(count) => Some(count),
                Count::All => None,
            },
            devices: view.seats.len(),
            usable: view.candidates[ask].iter().filter(|candidate| candidate.poison.is_none()).count(),
            rejected: view.rejections[ask].counts(),
            constrained: !entry.constraints.is_empty(),
        }
    };
    NodeRefusal {
        node: view.node.name.clone(),
        claim: question.claims.get(claim).map(|claim| claim.key.to_string()).unwrap_or_default(),
        asks: question.asks_of(claim, request).map(ask).collect(),
        unusable_pools: view.layout.pools.iter().filter(|pool| !matches!(pool.state, PoolState::Usable(_))).count(),
        complete,
    }
}

impl NodeRefusal {
    /// What is asked for and not there, but for the claim's name and for what happens to be free: the same as long as the
    /// same is asked for.
    pub fn wish(&self) -> String {
        let ask = |ask: &AskRefusal| {
            let needs = match ask.needs {
                Some(1) => "1 device".to_owned(),
                Some(count) => format!("{count} devices"),
                None => "all devices".to_owned(),
            };
            let together = if ask.constrained { " that go together" } else { "" };
            format!("{needs} of class {}{together} for request {}", ask.class, ask.request)
        };
        let asks: Vec<String> = self.asks.iter().map(ask).collect();
        format!("needs {}", asks.join(", or "))
    }
}

impl Rejection {
    /// What is the matter with a number of devices.
    fn describe(self) -> &'static str {
        match self {
            Rejection::InUse => "in use",
            Rejection::NotSelected => "not selected",
            Rejection::OtherNode => "for other nodes",
            Rejection::Capacity => "without the capacity",
            Rejection::Counters => "without free counters",
            Rejection::Tainted => "tainted",
        }
    }
}

impl fmt::Display for AskRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {} needs ", self.request)?;
        match self.needs {
            Some(1) => f.write_str("1 device")?,
            Some(count) => write!(f, "{count} devices")?,
            None => f.write_str("all devices")?,
        }
        write!(f, " of class {}, ", self.class)?;
        if self.devices == 0 {
            return f.write_str("the node has none");
        }
        write!(f, "{} of {} can be had", self.usable, self.devices)?;
        let rejected: Vec<String> =
            self.rejected.iter().map(|(rejection, count)| format!("{count} {}", rejection.describe())).collect();
        if !rejected.is_empty() {
            write!(f, " ({})", rejected.join(", "))?;
        }
        if self.needs.is_none_or(|needs| self.usable as u64 >= needs) && self.usable > 0 {
            let why = if self.constrained { "under its constraints" } else { "beside the others" };
            write!(f, ", but not together {why}")?;
        }
        Ok(())
    }
}

impl fmt::Display for NodeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.complete {
            f.write_str("the search gave up: ")?;
        }
        write!(f, "claim {}, ", self.claim)?;
        for (at, ask) in self.asks.iter().enumerate() {
            write!(f, "{}{ask}", if at == 0 { "" } else { "; or " })?;
        }
        match self.unusable_pools {
            0 => Ok(()),
            1 => f.write_str("; 1 pool cannot be used"),
            count => write!(f, "; {count} pools cannot be used"),
        }
    }
}
