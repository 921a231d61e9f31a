//! What of gangs is worth telling people.

use std::fmt::Display;
use std::sync::Arc;

use super::GangKeeper;
use crate::model::gang::{GangKey, Group};
use crate::model::pod::Pod;

/// Something about a gang that people want to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Which gang.
    pub gang: GangKey,
    /// The object that describes it, where it has one.
    pub group: Option<Arc<Group>>,
    /// Its first member, by name.
    pub member: Option<Arc<Pod>>,
    /// What kind of news.
    pub kind: NewsKind,
    /// In one sentence.
    pub text: Arc<str>,
}

/// What kind of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NewsKind {
    /// What is said of it makes no sense, or nothing is: its members are not placed on a guess.
    Invalid,
    /// It cannot be placed now.
    Waiting,
    /// All that must start at once have a place.
    Planned,
    /// Places were given up, and none of these members has started.
    Failed,
    /// All that must start at once are being bound.
    Started,
    /// A part of it that runs is evicted, since the rest finds no place.
    Regrouping,
    /// Members that were expected have not come.
    TimedOut,
    /// There are too few nodes for it, and its members are shown to the autoscaler.
    ShortOfNodes,
    /// It cannot be placed, and no autoscaler sees why.
    NotAutoscalable,
}

/// News that are kept until somebody asks for them.
const MAX_NEWS: usize = 10_000;

impl GangKeeper {
    /// What has been worth telling since this was last asked.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Something about a gang is news.
    pub(super) fn tell(&mut self, key: &GangKey, kind: NewsKind, text: impl Display) {
        if self.news.len() < MAX_NEWS {
            let (group, member) = self.kept.get(key).map_or((None, None), |k| (k.group.clone(), k.member.clone()));
            self.news.push(News { gang: key.clone(), group, member, kind, text: text.to_string().into() });
        }
    }
}
