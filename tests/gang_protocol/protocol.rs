//! How gangs start, as a state machine small enough to look at every state that it can come to.
//!
//! Two gangs of two members, a handful of places of which each takes one member, a scheduler for each gang (neither sees
//! what the other assumes), two replicas of testudo, and an API server. What testudo does is cut down to what
//! [gangs.md](../../docs/gangs.md) promises: plan and hold, steer, wait at the barrier, bind, take up promises. Whatever can
//! take its time (a scheduler, a write, a replica) takes any time: every order of steps is one that the checker tries.
//!
//! What is taken for granted, and where it comes from: a request that was sent before a lease ran out has landed or is lost
//! before the next leader acts, and that leader's view is as new (`leaseDuration` is longer than `renewDeadline` and any
//! request, docs/threat-model.md).

use std::collections::BTreeSet;

use stateright::{Model, Property};

/// How many gangs there are.
pub const GANGS: usize = 2;
/// How many members each has.
pub const MEMBERS: usize = 2;
/// How many replicas of testudo there are.
const REPLICAS: usize = 2;

/// A member whom its scheduler never lets go to this place (a volume, a port): nobody else can know that.
const REFUSED: (Member, Place) = ((0, 1), 2);

/// A place that takes one member.
pub type Place = u8;
/// A gang, and the number of one of its members.
pub type Member = (usize, usize);

/// What of the protocol is there. Without any one of these something goes wrong, which is how it is known that the checker
/// would find it.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A plan holds its places in the ledger.
    pub hold: bool,
    /// A binding waits until all members are at bind.
    pub barrier: bool,
    /// What is bound is checked against the ledger once more.
    pub check: bool,
    /// Who does not lead any more does not write.
    pub fence: bool,
    /// A gang of which a part runs is planned before all others.
    pub halves_first: bool,
    /// A leader first takes up promises to gangs of which a part runs, and others only when none of these lacks places.
    pub take_up_halves_first: bool,
}

impl Rules {
    /// The protocol as it is.
    pub const ALL: Self =
        Self { hold: true, barrier: true, check: true, fence: true, halves_first: true, take_up_halves_first: true };
}

/// The protocol among so many places, with so many faults.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// What of it is there.
    pub rules: Rules,
    /// How many members there is room for.
    pub places: Place,
    /// How many faults there may be.
    pub faults: u8,
}

/// What the API server stores of a pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Stored {
    /// Where the pod runs.
    pub bound: Option<Place>,
    /// The whole plan, which stands for its name: the pod's own place is among the others'.
    pub promise: Option<Assignment>,
}

/// Where a plan sends those members that have no place of their own yet.
pub type Assignment = [Option<Place>; MEMBERS];

/// A plan in the memory of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Of those that do not run yet.
    pub places: Assignment,
    /// Who is at bind: the scheduler's call waits for its answer.
    pub arrived: [bool; MEMBERS],
    /// All were: it is not taken back any more.
    pub going: bool,
}

/// A replica of testudo. One that is down is no different from a follower that nobody elects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Replica {
    /// It makes no plan, and remembers none.
    Follower,
    /// It takes itself for the leader. Whether it is one, the lease says.
    Leader([Option<Plan>; GANGS]),
}

/// A request that binds a pod, under way to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    /// The replica that has sent it.
    pub from: usize,
    /// Who is bound.
    pub member: Member,
    /// Where.
    pub place: Place,
}

/// All there is at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// What the API server stores.
    pub pods: [[Stored; MEMBERS]; GANGS],
    /// The replicas of testudo.
    pub replicas: [Replica; REPLICAS],
    /// Whose the lease is.
    pub lease: Option<usize>,
    /// Bindings under way.
    pub writes: BTreeSet<Write>,
    /// How many faults there may still be.
    pub faults_left: u8,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A follower takes the free lease, and takes up what it finds promised.
    Elect(usize),
    /// The leader finds places for a gang, and holds them.
    Plan(usize, usize, Assignment),
    /// The leader writes its plan on a pod.
    Steer(usize, Member),
    /// The scheduler was told a place by filter, has nothing against it, and calls bind.
    Call(usize, Member),
    /// The window of a plan is over before all were at bind, or a scheduler waits no longer for its answer.
    TimeOut(usize, usize),
    /// A binding that may be written is sent.
    Send(usize, Member),
    /// A binding reaches the API server.
    Land(Write),
    /// One that was sent by a replica that is gone does not.
    Sink(Write),
    /// One that was paused finds out that it does not lead any more.
    Wake(usize),
    /// Fault: a binding is lost on its way.
    Lose(Write),
    /// Fault: a replica that takes itself for the leader dies, with all that it knew.
    Crash(usize),
    /// Fault: the leader is paused until its lease is over.
    Pause(usize),
}

impl Action {
    /// Is it one that need not happen?
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Lose(_) | Self::Crash(_) | Self::Pause(_))
    }
}

/// All members of all gangs.
pub fn members() -> impl Iterator<Item = Member> {
    (0..GANGS).flat_map(|gang| (0..MEMBERS).map(move |member| (gang, member)))
}

impl State {
    /// Where a member runs.
    pub fn bound(&self, (gang, member): Member) -> Option<Place> {
        self.pods[gang][member].bound
    }

    /// How many members of a gang run.
    pub fn running(&self, gang: usize) -> usize {
        self.pods[gang].iter().filter(|pod| pod.bound.is_some()).count()
    }

    /// Has a gang started, and is not whole?
    pub fn runs_in_part(&self, gang: usize) -> bool {
        (1..MEMBERS).contains(&self.running(gang))
    }

    fn plans(&self, replica: usize) -> Option<&[Option<Plan>; GANGS]> {
        match &self.replicas[replica] {
            Replica::Leader(plans) => Some(plans),
            Replica::Follower => None,
        }
    }

    fn plans_mut(&mut self, replica: usize) -> Option<&mut [Option<Plan>; GANGS]> {
        match &mut self.replicas[replica] {
            Replica::Leader(plans) => Some(plans),
            Replica::Follower => None,
        }
    }

    fn is_sent(&self, member: Member) -> bool {
        self.writes.iter().any(|write| write.member == member)
    }

    /// The places that the leader gives to a gang and on which nobody of it runs yet.
    pub fn held(&self, replica: usize, gang: usize) -> impl Iterator<Item = Place> {
        self.plans(replica).and_then(|plans| plans[gang]).into_iter().flat_map(|plan| plan.places.into_iter().flatten())
    }

    /// Does anybody run there?
    pub fn is_taken(&self, place: Place) -> bool {
        members().any(|member| self.bound(member) == Some(place))
    }
}

impl Protocol {
    /// May this replica decide and write?
    fn acts(&self, state: &State, replica: usize) -> bool {
        state.plans(replica).is_some() && (!self.rules.fence || state.lease == Some(replica))
    }

    /// The places that a gang could be given.
    fn free(&self, state: &State, replica: usize, gang: usize) -> Vec<Place> {
        let held_by_others = |place: &Place| {
            let others = (0..GANGS).filter(|other| *other != gang);
            self.rules.hold && { others }.any(|other| state.held(replica, other).any(|held| held == *place))
        };
        (0..self.places).filter(|place| !state.is_taken(*place) && !held_by_others(place)).collect()
    }

    /// Lacks anybody of the gang both a node and a place?
    fn lacks_places(state: &State, replica: usize, gang: usize) -> bool {
        let plan = state.plans(replica).and_then(|plans| plans[gang]);
        (0..MEMBERS).any(|member| {
            state.bound((gang, member)).is_none() && plan.is_none_or(|plan| plan.places[member].is_none())
        })
    }

    fn may_be_planned(&self, state: &State, replica: usize, gang: usize) -> bool {
        let comes_before =
            |other: usize| other != gang && state.runs_in_part(other) && Self::lacks_places(state, replica, other);
        let is_second = self.rules.halves_first && !state.runs_in_part(gang) && (0..GANGS).any(comes_before);
        state.plans(replica).is_some_and(|plans| plans[gang].is_none())
            && state.running(gang) < MEMBERS
            && !(0..MEMBERS).any(|member| state.is_sent((gang, member)))
            && !is_second
    }

    /// Ways to give each member that does not run one of the free places: neighbours, so that two plans can overlap. That a
    /// member is refused one of them is known only once it was tried, so that there are plans with and without.
    fn assignments(&self, state: &State, replica: usize, gang: usize) -> Vec<Assignment> {
        let waiting: Vec<usize> = (0..MEMBERS).filter(|member| state.bound((gang, *member)).is_none()).collect();
        let assign = |places: &mut dyn Iterator<Item = &Place>| {
            let mut assignment = [None; MEMBERS];
            waiting.iter().zip(places).for_each(|(member, place)| assignment[*member] = Some(*place));
            assignment
        };
        let is_refused = |assignment: &Assignment| REFUSED.0.0 == gang && assignment[REFUSED.0.1] == Some(REFUSED.1);
        let mut found = vec![];
        for places in self.free(state, replica, gang).windows(waiting.len()) {
            let in_order = assign(&mut places.iter());
            found.push(in_order);
            if is_refused(&in_order) && places.len() > 1 {
                found.push(assign(&mut places.iter().rev()));
            }
        }
        found
    }

    /// What a new leader finds promised, and can keep: the whole rest of a gang by one plan, on places that are free.
    fn take_up(&self, state: &mut State, replica: usize) {
        let mut order: Vec<usize> = (0..GANGS).collect();
        if self.rules.take_up_halves_first {
            order.sort_by_key(|gang| !state.runs_in_part(*gang));
        }
        for gang in order {
            let lacking = |other: usize| state.runs_in_part(other) && Self::lacks_places(state, replica, other);
            if self.rules.take_up_halves_first && !state.runs_in_part(gang) && (0..GANGS).any(lacking) {
                continue;
            }
            let waiting: Vec<usize> = (0..MEMBERS).filter(|m| state.bound((gang, *m)).is_none()).collect();
            let Some(promise) = waiting.first().and_then(|first| state.pods[gang][*first].promise) else { continue };
            let is_one_plan = waiting.iter().all(|member| state.pods[gang][*member].promise == Some(promise));
            let free = self.free(state, replica, gang);
            let fits = waiting.iter().all(|member| promise[*member].is_some_and(|place| free.contains(&place)));
            if is_one_plan && fits {
                let mut places = [None; MEMBERS];
                waiting.iter().for_each(|member| places[*member] = promise[*member]);
                let plan = Plan { places, arrived: [false; MEMBERS], going: false };
                if let Some(plans) = state.plans_mut(replica) {
                    plans[gang] = Some(plan);
                }
            }
        }
    }

    /// A replica forgets its plans, and calls to it end with an error, whatever becomes of what it has sent.
    fn forget(state: &mut State, replica: usize) {
        state.replicas[replica] = Replica::Follower;
    }

    fn land(state: &mut State, write: Write) {
        let (gang, member) = write.member;
        state.writes.remove(&write);
        let pod = &mut state.pods[gang][member];
        if pod.bound.is_none() {
            *pod = Stored { bound: Some(write.place), promise: None };
        }
        // Whoever has a place for the pod sees it bound, by the answer or by the watch.
        for replica in 0..REPLICAS {
            if let Some(plans) = state.plans_mut(replica)
                && let Some(plan) = &mut plans[gang]
            {
                plan.places[member] = None;
                if plan.places == [None; MEMBERS] {
                    plans[gang] = None;
                }
            }
        }
    }

    /// A binding did not come about: the place is kept, and the scheduler tries again.
    fn roll_back(state: &mut State, write: Write) {
        let (gang, member) = write.member;
        state.writes.remove(&write);
        if let Some(plans) = state.plans_mut(write.from)
            && let Some(plan) = &mut plans[gang]
        {
            plan.arrived[member] = false;
        }
    }

    /// Would a binding still fit, for all that this replica knows?
    fn still_fits(&self, state: &State, replica: usize, member: Member, place: Place) -> bool {
        let sent = state.writes.iter().any(|write| write.from == replica && write.place == place);
        !self.rules.check || (!state.is_taken(place) && !sent && state.bound(member).is_none())
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            pods: Default::default(),
            replicas: [Replica::Follower, Replica::Follower],
            lease: None,
            writes: BTreeSet::new(),
            faults_left: self.faults,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for replica in 0..REPLICAS {
            match &state.replicas[replica] {
                Replica::Follower => {
                    // What was sent under the old lease has come to its end. One follower is like the other.
                    let is_settled = !self.rules.fence || state.writes.is_empty();
                    let is_first = (0..replica).all(|other| state.replicas[other] != Replica::Follower);
                    if state.lease.is_none() && is_settled && is_first {
                        actions.push(Action::Elect(replica));
                    }
                }
                Replica::Leader(plans) => {
                    if self.acts(state, replica) {
                        self.leader_actions(state, replica, plans, actions);
                    } else {
                        actions.push(Action::Wake(replica));
                    }
                    if state.faults_left > 0 {
                        actions.push(Action::Crash(replica));
                    }
                }
            }
        }
        if let Some(leader) = state.lease.filter(|_| state.faults_left > 0) {
            actions.push(Action::Pause(leader));
        }
        for write in &state.writes {
            actions.push(Action::Land(*write));
            if state.plans(write.from).is_none() {
                actions.push(Action::Sink(*write));
            } else if state.faults_left > 0 {
                actions.push(Action::Lose(*write));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        state.faults_left -= u8::from(action.is_fault());
        match action {
            Action::Elect(replica) => {
                state.replicas[replica] = Replica::Leader([None; GANGS]);
                state.lease = Some(replica);
                self.take_up(&mut state, replica);
            }
            Action::Plan(replica, gang, places) => {
                let plan = Plan { places, arrived: [false; MEMBERS], going: false };
                state.plans_mut(replica)?[gang] = Some(plan);
            }
            Action::Steer(replica, (gang, member)) => {
                state.pods[gang][member].promise = Some(state.plans(replica)?[gang]?.places);
            }
            Action::Call(replica, (gang, member)) => {
                let plan = state.plans_mut(replica)?[gang].as_mut()?;
                plan.arrived[member] = true;
                let is_there = |at: usize| plan.places[at].is_none() || plan.arrived[at];
                plan.going |= (0..MEMBERS).all(is_there);
            }
            Action::TimeOut(replica, gang) => state.plans_mut(replica)?[gang] = None,
            Action::Send(replica, (gang, member)) => {
                let place = state.plans(replica)?[gang]?.places[member]?;
                if self.still_fits(&state, replica, (gang, member), place) {
                    state.writes.insert(Write { from: replica, member: (gang, member), place });
                } else {
                    // The member has no place any more, and its gang may have started.
                    let plans = state.plans_mut(replica)?;
                    let plan = plans[gang].as_mut()?;
                    (plan.places[member], plan.arrived[member]) = (None, false);
                    if plan.places == [None; MEMBERS] {
                        plans[gang] = None;
                    }
                }
            }
            Action::Land(write) => Self::land(&mut state, write),
            Action::Sink(write) | Action::Lose(write) => Self::roll_back(&mut state, write),
            Action::Wake(replica) => Self::forget(&mut state, replica),
            Action::Crash(replica) => {
                Self::forget(&mut state, replica);
                state.lease = state.lease.filter(|leader| *leader != replica);
            }
            Action::Pause(_) => state.lease = None,
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no place is given twice", |_, state: &State| {
                let bound: Vec<Place> = members().filter_map(|member| state.bound(member)).collect();
                bound.iter().collect::<BTreeSet<_>>().len() == bound.len()
            }),
            Property::always("a gang that runs in part can always be finished", |model: &Protocol, state: &State| {
                (0..GANGS).filter(|gang| state.runs_in_part(*gang)).all(|gang| model.can_be_finished(state, gang))
            }),
        ]
    }
}

impl Protocol {
    fn leader_actions(&self, state: &State, replica: usize, plans: &[Option<Plan>; GANGS], actions: &mut Vec<Action>) {
        for (gang, plan) in plans.iter().enumerate() {
            match plan {
                None => {
                    if self.may_be_planned(state, replica, gang) {
                        let found = self.assignments(state, replica, gang).into_iter();
                        actions.extend(found.map(|places| Action::Plan(replica, gang, places)));
                    }
                }
                Some(plan) => {
                    let is_sent = (0..MEMBERS).any(|member| state.is_sent((gang, member)));
                    if !plan.going && !is_sent {
                        actions.push(Action::TimeOut(replica, gang));
                    }
                }
            }
            for member in 0..MEMBERS {
                let (id, pod) = ((gang, member), state.pods[gang][member]);
                let place = plan.and_then(|plan| plan.places[member].map(|_| plan));
                match place {
                    _ if pod.bound.is_some() => {}
                    // What was promised before is taken back sooner or later; here never, which is worse.
                    None => {}
                    Some(plan) => {
                        if pod.promise != Some(plan.places) {
                            actions.push(Action::Steer(replica, id));
                        }
                        let is_refused = plan.places[member].is_some_and(|place| (id, place) == REFUSED);
                        if !plan.arrived[member] && !is_refused {
                            actions.push(Action::Call(replica, id));
                        }
                        let may_pass = plan.going || !self.rules.barrier;
                        if plan.arrived[member] && may_pass && !state.is_sent(id) {
                            actions.push(Action::Send(replica, id));
                        }
                    }
                }
            }
        }
    }

    /// Are there places for the rest of a gang that nobody else has been given, or is given before it?
    fn can_be_finished(&self, state: &State, gang: usize) -> bool {
        let others = || (0..GANGS).filter(move |other| *other != gang);
        let on_the_way: BTreeSet<Place> =
            state.writes.iter().filter(|write| write.member.0 != gang).map(|write| write.place).collect();
        let held: BTreeSet<Place> = match state.lease {
            Some(leader) => others().flat_map(|other| state.held(leader, other)).collect(),
            None => BTreeSet::new(),
        };
        let is_open = |place: Place| !state.is_taken(place) && !held.contains(&place) && !on_the_way.contains(&place);
        // Of a gang of two that runs in part, one is missing.
        let missing = members().filter(|member| member.0 == gang && state.bound(*member).is_none());
        { missing }.all(|member| (0..self.places).any(|place| is_open(place) && (member, place) != REFUSED))
    }
}
