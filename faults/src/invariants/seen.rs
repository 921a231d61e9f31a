//! What was going on, as numbers.

use std::fmt;

/// How much was going on: a rule that nothing could break says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Pods that were bound.
    pub bound: u64,
    /// Gangs of which a first member was bound.
    pub gangs: u64,
    /// Those of them that were in part, and had been disturbed while they started, so that nobody was to blame.
    pub excused: u64,
    /// Claims that were given devices by testudo.
    pub allocated: u64,
    /// Claims that lost them without ever having been used.
    pub taken_back: u64,
    /// Ledgers that were read.
    pub ledgers: u64,
    /// Gangs that were over quota for longer than their profile lets them wait.
    pub over_quota_long: u64,
    /// Pods that were told of a node that it is kept free for a gang that has waited long.
    pub kept_away: u64,
    /// Members that were made while some of an earlier generation of their gang still left.
    pub beside_former: u64,
    /// Gangs that started while some of an earlier generation still left.
    pub started_beside: u64,
    /// Members beyond those that must start, in gangs of two roles, that were bound.
    pub extras: u64,
    /// Those of them that were bound while one of the other role waited that was there before.
    pub passed: u64,
    /// Pods that Kueue let go.
    pub admitted: u64,
    /// Those of them of whose gang others were still held back by it.
    pub admitted_in_part: u64,
    /// Members that were made in stages when others of their gang ran.
    pub staged: u64,
    /// Those of them that were made when others had ended well.
    pub staged_after: u64,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.bound += other.bound;
        self.gangs += other.gangs;
        self.excused += other.excused;
        self.allocated += other.allocated;
        self.taken_back += other.taken_back;
        self.ledgers += other.ledgers;
        self.over_quota_long += other.over_quota_long;
        self.kept_away += other.kept_away;
        self.beside_former += other.beside_former;
        self.started_beside += other.started_beside;
        self.extras += other.extras;
        self.passed += other.passed;
        self.admitted += other.admitted;
        self.admitted_in_part += other.admitted_in_part;
        self.staged += other.staged;
        self.staged_after += other.staged_after;
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bound, gangs, excused, allocated, taken_back, ledgers, .. } = self;
        write!(
            f,
            "{bound} pods bound, {gangs} gangs started, {excused} excused from being whole, {allocated} claims allocated, \
             {taken_back} of them taken back unused, {ledgers} ledgers read; "
        )?;
        let Self { over_quota_long, kept_away, beside_former, started_beside, .. } = self;
        write!(
            f,
            "{over_quota_long} gangs long over quota, {kept_away} pods kept away from nodes that are kept free, \
             {beside_former} members made and {started_beside} gangs started beside an earlier generation, "
        )?;
        let Self { extras, passed, admitted, admitted_in_part, staged, staged_after, .. } = self;
        write!(
            f,
            "{extras} members bound beyond the minimum of two roles, {passed} of them before one of the other role, \
             {admitted} pods admitted by Kueue, {admitted_in_part} of them before others of their gang, \
             {staged} members made in stages, {staged_after} of them after others had ended"
        )
    }
}
