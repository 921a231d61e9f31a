//! What is asked for: claims, their requests and constraints, and device classes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::amount::Amount;
use crate::model::taint::Toleration;

/// Most devices that one claim can have: `AllocationResultsMaxSize` of `k8s.io/api/resource/v1`.
pub const MAX_DEVICES: usize = 32;

/// A DeviceClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceClass {
    /// `metadata.name`.
    pub name: Box<str>,
    /// What its devices are like.
    pub selectors: Vec<Selector>,
    /// How many configurations it has for its devices; what they say is not ours.
    pub configs: usize,
    /// The extended resource that its devices serve, too.
    pub extended_resource: Option<Box<str>>,
    /// When it was made, in seconds since 1970: of several that serve one resource the newest counts.
    pub created_s: i64,
}

/// What a device must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// A CEL expression.
    Cel(Arc<str>),
    /// A kind of selector that is not known.
    Unknown,
}

/// The name of a claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKey {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// A ResourceClaim that asks for devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Namespace and name.
    pub key: ClaimKey,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// What it asks for.
    pub requests: Vec<Request>,
    /// What must hold between the devices.
    pub constraints: Vec<Constraint>,
    /// The requests (or `request/subrequest`) that each of its configurations is for; none means all.
    pub configs: Vec<Vec<String>>,
}

impl Claim {
    /// The classes of which it asks for devices.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.requests.iter().flat_map(|request| request.asks().map(|ask| &*ask.class))
    }

    /// For any one device of a class. It is nobody's: only asked whether there is one.
    pub fn of_one(class: &str) -> Claim {
        let ask = Ask {
            class: class.into(),
            selectors: vec![],
            count: Count::Exactly(1),
            admin_access: false,
            tolerations: vec![],
            capacity: BTreeMap::new(),
        };
        Claim {
            key: ClaimKey { namespace: "".into(), name: "any".into() },
            uid: "".into(),
            requests: vec![Request { name: "any".into(), wish: Wish::Exactly(ask) }],
            constraints: vec![],
            configs: vec![],
        }
    }
}

/// One request of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its name.
    pub name: Box<str>,
    /// What it asks for.
    pub wish: Wish,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This.
    Exactly(Ask),
    /// The first of these that can be had.
    FirstAvailable(Vec<Alternative>),
}

/// One of several things that a request would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// Its name.
    pub name: Box<str>,
    /// What it asks for.
    pub ask: Ask,
}

impl Request {
    /// What it would take, in the order in which it is tried.
    pub fn asks(&self) -> impl Iterator<Item = &Ask> {
        let (exactly, alternatives) = match &self.wish {
            Wish::Exactly(ask) => (Some(ask), [].as_slice()),
            Wish::FirstAvailable(alternatives) => (None, alternatives.as_slice()),
        };
        exactly.into_iter().chain(alternatives.iter().map(|alternative| &alternative.ask))
    }

    /// How results and configurations call one of its asks: `request`, or `request/subrequest`.
    pub fn name_of(&self, ask: usize) -> String {
        match &self.wish {
            Wish::FirstAvailable(alternatives) if ask < alternatives.len() => {
                format!("{}/{}", self.name, alternatives[ask].name)
            }
            _ => self.name.to_string(),
        }
    }
}

/// Devices of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The class.
    pub class: Box<str>,
    /// What they must be like besides.
    pub selectors: Vec<Selector>,
    /// How many.
    pub count: Count,
    /// Whether they may be in use: for monitoring and the like.
    pub admin_access: bool,
    /// Taints that it bears.
    pub tolerations: Vec<Toleration>,
    /// How much of each device.
    pub capacity: BTreeMap<Box<str>, Amount>,
}

/// How many devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// That many.
    Exactly(u64),
    /// All that match, and at least one.
    All,
}

/// What must hold between devices of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// The requests (or `request/subrequest`) that it is for; none means all.
    pub requests: Vec<String>,
    /// What must hold.
    pub rule: ConstraintRule,
}

/// What must hold between devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstraintRule {
    /// All have this attribute, and a value of it in common.
    Match(Box<str>),
    /// All have this attribute, and no two have a value of it in common.
    Distinct(Box<str>),
    /// A kind of constraint that is not known.
    Unknown,
}

impl Constraint {
    /// Whether it is for an ask of a request.
    pub fn is_for(&self, request: &Request, ask: usize) -> bool {
        self.requests.is_empty()
            || self.requests.iter().any(|name| **name == *request.name || **name == *request.name_of(ask))
    }
}
