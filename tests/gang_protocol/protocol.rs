//! How gangs start, as a state machine small enough to look at every state that it can come to.
//!
//! Two gangs of two members, a handful of places of which each takes one pod, a scheduler for each gang (neither sees
//! what the other assumes), two replicas of testudo, and an API server; if asked for, a pod of no gang with a scheduler of its
//! own (it makes for many more states). What testudo does is cut down to what [gangs.md](../../docs/gangs.md) promises: plan
//! and hold, steer, wait at the barrier, bind, take up promises. Whatever can take its time (a scheduler, a write, a replica)
//! takes any time: every order of steps is one that the checker tries.
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

/// A place that takes one pod.
pub type Place = u8;
/// A gang, and the number of one of its members.
pub type Member = (usize, usize);

/// What of the protocol is there. Without any one of these alone something goes wrong (`every_rule_is_needed`), which is how it
/// is known that the checker would find it.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A plan holds its places in the ledger.
    pub hold: bool,
    /// A binding waits until all members are at bind.
    pub barrier: bool,
    /// A pod for which nothing is held is checked against the ledger once more at bind: filter was a while ago.
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
    /// How many pods there is room for.
    pub places: Place,
    /// Is there a pod of no gang?
    pub single: bool,
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

/// The pod of no gang: it comes, runs and ends again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Single {
    /// It is not there, or has no place.
    Waits,
    /// Filter has told its scheduler this place. Nothing is held for it, so the place may be given to others.
    Told(Place),
    /// It runs there.
    Runs(Place),
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
    /// Which member is bound; none: the pod of no gang.
    pub member: Option<Member>,
    /// Where.
    pub place: Place,
}

/// All there is at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// What the API server stores.
    pub pods: [[Stored; MEMBERS]; GANGS],
    /// The pod of no gang.
    pub single: Single,
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
    /// Filter tells the scheduler of the pod of no gang a place that is free.
    Tell(Place),
    /// That scheduler calls bind: the binding is sent, or refused.
    Bind(usize),
    /// The pod of no gang ends.
    End,
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

    fn is_sent(&self, member: Option<Member>) -> bool {
        self.writes.iter().any(|write| write.member == member)
    }

    /// The places that the leader gives to a gang and on which nobody of it runs yet.
    pub fn held(&self, replica: usize, gang: usize) -> impl Iterator<Item = Place> {
        self.plans(replica).and_then(|plans| plans[gang]).into_iter().flat_map(|plan| plan.places.into_iter().flatten())
    }

    /// Where somebody runs.
    fn taken(&self) -> impl Iterator<Item = Place> {
        let by_single = if let Single::Runs(place) = self.single { Some(place) } else { None };
        members().filter_map(|member| self.bound(member)).chain(by_single)
    }
}

impl Protocol {
    /// May this replica decide and write?
    fn acts(&self, state: &State, replica: usize) -> bool {
        state.plans(replica).is_some() && (!self.rules.fence || state.lease == Some(replica))
    }

    /// The places that a gang could be given, or the pod of no gang: those that the ledger shows as free.
    fn free(&self, state: &State, replica: usize, gang: Option<usize>) -> Vec<Place> {
        let is_held = |place: Place| {
            let others = (0..GANGS).filter(|other| Some(*other) != gang);
            self.rules.hold && { others }.any(|other| state.held(replica, other).any(|held| held == place))
        };
        let is_assumed = |place: Place| state.writes.iter().any(|write| (write.from, write.place) == (replica, place));
        let is_taken = |place: Place| state.taken().any(|taken| taken == place);
        (0..self.places).filter(|place| !is_taken(*place) && !is_held(*place) && !is_assumed(*place)).collect()
    }

    /// Does a part of the gang run, and has the rest no places?
    fn lacks_places(state: &State, replica: usize, gang: usize) -> bool {
        state.runs_in_part(gang) && state.plans(replica).is_none_or(|plans| plans[gang].is_none())
    }

    fn may_be_planned(&self, state: &State, replica: usize, gang: usize) -> bool {
        let comes_before = |other: usize| other != gang && Self::lacks_places(state, replica, other);
        let is_second = self.rules.halves_first && !state.runs_in_part(gang) && (0..GANGS).any(comes_before);
        state.plans(replica).is_some_and(|plans| plans[gang].is_none())
            && state.running(gang) < MEMBERS
            && !(0..MEMBERS).any(|member| state.is_sent(Some((gang, member))))
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
        for places in self.free(state, replica, Some(gang)).windows(waiting.len()) {
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
            let lacking = |other: usize| Self::lacks_places(state, replica, other);
            if self.rules.take_up_halves_first && !state.runs_in_part(gang) && (0..GANGS).any(lacking) {
                continue;
            }
            let waiting: Vec<usize> = (0..MEMBERS).filter(|m| state.bound((gang, *m)).is_none()).collect();
            let Some(promise) = waiting.first().and_then(|first| state.pods[gang][*first].promise) else { continue };
            let is_one_plan = waiting.iter().all(|member| state.pods[gang][*member].promise == Some(promise));
            let free = self.free(state, replica, Some(gang));
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
        state.writes.remove(&write);
        let Some((gang, member)) = write.member else {
            state.single = Single::Runs(write.place);
            return;
        };
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

    /// A binding did not come about: the scheduler tries again. The place is kept for a member of a gang.
    fn roll_back(state: &mut State, write: Write) {
        state.writes.remove(&write);
        let Some((gang, member)) = write.member else {
            state.single = Single::Waits;
            return;
        };
        if let Some(plans) = state.plans_mut(write.from)
            && let Some(plan) = &mut plans[gang]
        {
            plan.arrived[member] = false;
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            pods: Default::default(),
            single: Single::Waits,
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
        if let Single::Runs(_) = state.single {
            actions.push(Action::End);
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
                // No check here: the place is held.
                let place = state.plans(replica)?[gang]?.places[member]?;
                state.writes.insert(Write { from: replica, member: Some((gang, member)), place });
            }
            Action::Tell(place) => state.single = Single::Told(place),
            Action::Bind(replica) => {
                let Single::Told(place) = state.single else { return None };
                if !self.rules.check || self.free(&state, replica, None).contains(&place) {
                    state.writes.insert(Write { from: replica, member: None, place });
                } else {
                    state.single = Single::Waits;
                }
            }
            Action::End => state.single = Single::Waits,
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
                state.taken().collect::<BTreeSet<_>>().len() == state.taken().count()
            }),
            Property::always("a gang that runs in part can always be finished", |model: &Protocol, state: &State| {
                (0..GANGS).filter(|gang| state.runs_in_part(*gang)).all(|gang| model.can_be_finished(state, gang))
            }),
        ]
    }
}

impl Protocol {
    fn leader_actions(&self, state: &State, replica: usize, plans: &[Option<Plan>; GANGS], actions: &mut Vec<Action>) {
        match state.single {
            Single::Waits if self.single => {
                actions.extend(self.free(state, replica, None).into_iter().map(Action::Tell));
            }
            Single::Told(_) if !state.is_sent(None) => actions.push(Action::Bind(replica)),
            _ => {}
        }
        for (gang, plan) in plans.iter().enumerate() {
            match plan {
                None => {
                    if self.may_be_planned(state, replica, gang) {
                        let found = self.assignments(state, replica, gang).into_iter();
                        actions.extend(found.map(|places| Action::Plan(replica, gang, places)));
                    }
                }
                Some(plan) => {
                    let is_sent = (0..MEMBERS).any(|member| state.is_sent(Some((gang, member))));
                    if !plan.going && !is_sent {
                        actions.push(Action::TimeOut(replica, gang));
                    }
                }
            }
            for member in 0..MEMBERS {
                let (id, pod) = ((gang, member), state.pods[gang][member]);
                let place = plan.and_then(|plan| plan.places[member].map(|_| plan));
                let refused = (id == REFUSED.0).then_some(REFUSED.1);
                match place {
                    _ if pod.bound.is_some() => {}
                    // What was promised before is taken back sooner or later; here never, which is worse.
                    None => {}
                    Some(plan) => {
                        if pod.promise != Some(plan.places) {
                            actions.push(Action::Steer(replica, id));
                        }
                        if !plan.arrived[member] && plan.places[member] != refused {
                            actions.push(Action::Call(replica, id));
                        }
                        let may_pass = plan.going || !self.rules.barrier;
                        if plan.arrived[member] && may_pass && !state.is_sent(Some(id)) {
                            actions.push(Action::Send(replica, id));
                        }
                    }
                }
            }
        }
    }

    /// Are there places for the rest of a gang that no other gang has been given, or is given before it? A place that the pod
    /// of no gang takes comes free again.
    fn can_be_finished(&self, state: &State, gang: usize) -> bool {
        let others = || (0..GANGS).filter(move |other| *other != gang);
        let of_others = |member: &Member| member.0 != gang;
        let taken: BTreeSet<Place> = members().filter_map(|member| state.bound(member)).collect();
        let on_the_way: BTreeSet<Place> = state
            .writes
            .iter()
            .filter(|write| write.member.as_ref().is_some_and(of_others))
            .map(|write| write.place)
            .collect();
        let held: BTreeSet<Place> = match state.lease {
            Some(leader) => others().flat_map(|other| state.held(leader, other)).collect(),
            None => BTreeSet::new(),
        };
        let is_open = |place: &Place| ![&taken, &on_the_way, &held].iter().any(|closed| closed.contains(place));
        // Of a gang of two that runs in part, one is missing.
        let missing = members().filter(|member| member.0 == gang && state.bound(*member).is_none());
        { missing }.all(|member| (0..self.places).any(|place| is_open(&place) && (member, place) != REFUSED))
    }
}
