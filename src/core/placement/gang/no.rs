//! Why a gang cannot be placed.

use std::fmt;
use std::sync::Arc;

use crate::model::gang::{Role, TopologyLevel};
use crate::model::quota::OverQuota;
use crate::placement::Reason;

/// Why a gang cannot be placed, with what proves it. Its text goes into conditions: it names numbers of the gang and of the
/// largest domain only, so that it stays as long as these do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum No {
    /// No node takes any member of a role.
    NoNode {
        /// Which; empty where the gang has no roles.
        role: Role,
        /// What keeps a member off the nodes that come nearest, and how many these are; none where there is no node.
        obstacle: Option<(Obstacle, usize)>,
    },
    /// No node has the devices that claims of any member ask for.
    NoDevices {
        /// The claim, if it is one.
        claim: Option<String>,
        /// What it asks for, or what is wrong with that.
        wish: String,
    },
    /// There are too few places for the members of a role, wherever they are.
    TooFewPlaces {
        /// Which; empty where the gang has no roles.
        role: Role,
        /// How many members need a place.
        needed: u32,
        /// What each asks for, as people write it; nothing where all that it asks for stands in claims.
        asks: Option<String>,
        /// For how many there is a place.
        places: u64,
    },
    /// No domain is large enough for one set, or for all that must share one.
    TooSmall {
        /// What is needed, of what there is too little: `16 nvidia.com/gpu`.
        needed: Amount,
        /// In one domain of this level.
        level: TopologyLevel,
        /// How much of it the largest has, and its name; none where no node is in any.
        largest: Option<(u64, String)>,
    },
    /// No domain has places for so many sets.
    TooFewSets {
        /// How many sets.
        needed: usize,
        /// Of what.
        set: SetName,
        /// In one domain of this level; anywhere where none is given.
        level: Option<TopologyLevel>,
        /// For how many the largest has places, and its name; none where no node is in any.
        largest: Option<(u64, String)>,
    },
    /// Too few domains have room for parts that ask for the same and need one each to themselves.
    TooFewDomains {
        /// How many parts.
        needed: usize,
        /// What each needs.
        each: Amount,
        /// In one domain of this level.
        level: TopologyLevel,
        /// How many domains have that free, with nobody else in them.
        domains: usize,
    },
    /// It cannot be placed where it may be, and domains are left out in which pods of other jobs or groups are: they or the
    /// gang's members are to have theirs to themselves.
    LeftOut {
        /// Why it cannot be placed in what is left.
        no: Box<No>,
        /// How many domains are left out, by level.
        domains: Vec<(TopologyLevel, usize)>,
    },
    /// Members that are running already are not in one domain, and the others would have to join them.
    Split {
        /// Of which level.
        level: TopologyLevel,
    },
    /// The domains have too few places for members that stand to each other as they must.
    Relations {
        /// Of which role.
        role: Role,
    },
    /// Places are kept for as many members that do not exist yet as one namespace may have.
    TooManyExpected {
        /// How many it may have.
        limit: u32,
    },
    /// Its namespace would have more than it may.
    OverQuota(OverQuota),
    /// All combinations were tried.
    NoCombination,
    /// The budget was spent before one was found.
    GaveUp {
        /// After so many steps.
        steps: u64,
    },
}

/// `1 zone`, `2 domains of rack`.
fn counted(level: &TopologyLevel, count: usize) -> String {
    let one = level.to_string();
    match (count, one.split_once(' ')) {
        (1, _) => format!("1 {one}"),
        (_, Some((noun, rest))) => format!("{count} {noun}s {rest}"),
        (_, None) => format!("{count} {one}s"),
    }
}

/// What keeps a member off a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The node would take it, but has refused it lately, or is kept for others.
    Barred,
    /// The node would take it, but its claims cannot be used there: their devices are elsewhere.
    ClaimsElsewhere,
    /// The node would take it, but has not the taint of the nodes on which alone claims are given devices.
    OutsideFence(Arc<str>),
    /// What it asks for is not to be had there.
    Misfit(Reason),
}

impl Obstacle {
    /// How far a node is from taking the member: from what passes by itself to what never does.
    pub(super) fn distance(&self) -> u8 {
        match self {
            Self::Barred => 0,
            Self::ClaimsElsewhere | Self::OutsideFence(_) => 1,
            Self::Misfit(Reason::Insufficient { .. } | Reason::Scattered { .. }) => 1,
            Self::Misfit(Reason::Cordoned | Reason::Taint(_)) => 2,
            Self::Misfit(Reason::TooLarge { .. } | Reason::NotASet { .. } | Reason::UnevenShare { .. }) => 3,
            Self::Misfit(Reason::Affinity) => 4,
            Self::Misfit(Reason::Absent { .. } | Reason::UnknownNode | Reason::OverQuota(_)) => 5,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Barred => f.write_str("refused it lately, or kept for others"),
            Self::ClaimsElsewhere => f.write_str("its claims have devices that cannot be used there"),
            Self::OutsideFence(taint) => write!(f, "claims are given devices on nodes with taint {taint} only"),
            Self::Misfit(reason) => reason.fmt(f),
        }
    }
}

/// So much of something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    /// How much.
    pub count: u64,
    /// Of what: `GPUs`, `places`.
    pub unit: String,
}

/// What a set is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetName {
    /// What its members share.
    pub within: TopologyLevel,
    /// How many it has of the unit.
    pub size: Amount,
}

impl No {
    /// A short, constant name of the reason, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoNode { .. } => "no_node",
            Self::NoDevices { .. } => "no_devices",
            Self::TooFewPlaces { .. } => "too_few_places",
            Self::TooSmall { .. } => "domain_too_small",
            Self::TooFewSets { .. } => "too_few_sets",
            Self::TooFewDomains { .. } => "too_few_domains",
            Self::LeftOut { no, .. } => no.label(),
            Self::Split { .. } => "split",
            Self::Relations { .. } => "relations",
            Self::TooManyExpected { .. } => "too_many_expected",
            Self::OverQuota(_) => "over_quota",
            Self::NoCombination => "no_combination",
            Self::GaveUp { .. } => "gave_up",
        }
    }

    /// Is it certain that the gang cannot be placed as things are?
    pub fn is_proven(&self) -> bool {
        !matches!(self.cause(), Self::GaveUp { .. })
    }

    /// The reason itself, whatever is said beside it.
    pub fn cause(&self) -> &Self {
        match self {
            Self::LeftOut { no, .. } => no.cause(),
            no => no,
        }
    }
}

impl fmt::Display for No {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode { role, obstacle } => {
                match role.is_empty() {
                    true => f.write_str("no node takes any member")?,
                    false => write!(f, "no node takes role {role}")?,
                }
                match obstacle {
                    Some((obstacle, 1)) => write!(f, "; the nearest: {obstacle}"),
                    Some((obstacle, nodes)) => write!(f, "; the nearest {nodes}: {obstacle}"),
                    None => f.write_str("; there are no nodes"),
                }
            }
            Self::NoDevices { claim: Some(claim), wish } => write!(f, "no node has free devices: claim {claim} {wish}"),
            Self::NoDevices { claim: None, wish } => write!(f, "no node has free devices: {wish}"),
            Self::TooFewPlaces { role, needed, asks, places } => {
                let who = if role.is_empty() { "members" } else { role };
                write!(f, "needs {needed} places for {who}")?;
                if let Some(asks) = asks {
                    write!(f, " asking for {asks}")?;
                }
                match places {
                    1 => f.write_str(", 1 is free"),
                    _ => write!(f, ", {places} are free"),
                }
            }
            Self::TooSmall { needed, level, largest } => {
                write!(f, "needs {} {} in one {level}", needed.count, needed.unit)?;
                match largest {
                    Some((count, name)) => write!(f, ", the largest free is {count} in {name}"),
                    None => write!(f, ", no node that takes them is in any"),
                }
            }
            Self::TooFewSets { needed, set, level, largest } => {
                let sets = if *needed == 1 { "set" } else { "sets" };
                let of = match &set.within {
                    TopologyLevel::DeviceFabric => format!("NVLink {sets}"),
                    within => format!("{within} {sets}"),
                };
                write!(f, "needs {needed} {of} of {} {}", set.size.count, set.size.unit)?;
                if let Some(level) = level {
                    write!(f, " in one {level}")?;
                }
                match (level, largest) {
                    (Some(_), Some((count, name))) => write!(f, "; {name} has {count}"),
                    (None, Some((count, _))) => write!(f, "; there are {count}"),
                    (_, None) => f.write_str("; no node that takes them is in any"),
                }
            }
            Self::TooFewDomains { needed, each, level, domains } => {
                let Amount { count, unit } = each;
                let have = if *domains == 1 { "has" } else { "have" };
                write!(
                    f,
                    "needs {needed} times {count} {unit}, each in a {level} of its own; {domains} {have} that free"
                )
            }
            Self::LeftOut { no, domains } => {
                let counted: Vec<String> = domains.iter().map(|(level, count)| counted(level, *count)).collect();
                let are = if matches!(domains[..], [(_, 1)]) { "is" } else { "are" };
                write!(
                    f,
                    "{no}; {} {are} left out: others are there, and an exclusive job or group ",
                    counted.join(" and ")
                )?;
                f.write_str("shares its domain with no other")
            }
            Self::Split { level } => write!(f, "running members are not in one {level}"),
            Self::Relations { role } if role.is_empty() => {
                f.write_str("no places for members that are apart, together or spread as they ask")
            }
            Self::Relations { role } => {
                write!(f, "no places for role {role} that are apart, together or spread as it asks")
            }
            Self::TooManyExpected { limit } => write!(
                f,
                "places are kept for {limit} members at most that do not exist yet, and others of the namespace have them"
            ),
            Self::OverQuota(over) => over.fmt(f),
            Self::NoCombination => f.write_str("no combination of places exists"),
            Self::GaveUp { steps } => write!(f, "gave up after {steps} steps"),
        }
    }
}
