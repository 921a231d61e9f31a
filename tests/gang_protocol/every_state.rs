//! Every state that the protocol of gangs can come to.

use gang_protocol::liveness;
use gang_protocol::protocol::{GANGS, MEMBERS, Place, Protocol, Rules, State};
use stateright::{Checker, HasDiscoveries, Model};

const TWICE: &str = "no place is given twice";
const HALF: &str = "a gang that runs in part can always be finished";

/// What is checked, and how much that is.
#[derive(Clone, Copy)]
struct Case {
    places: Place,
    /// How many gangs these are room for.
    fitting: usize,
    single: bool,
    /// Crashes, leader changes, lost writes, at any time.
    faults: u8,
    /// How many states there are. Another number is no failure of the protocol, but what was checked is another then.
    states: usize,
}

/// Each has a line in docs/trust.md.
const CASES: [Case; 3] = [
    Case { places: 3, fitting: 1, single: false, faults: 2, states: 728_149 },
    Case { places: 3, fitting: 1, single: true, faults: 0, states: 165_825 },
    Case { places: 4, fitting: 2, single: false, faults: 0, states: 298_801 },
];

/// One that takes minutes, and has a line there, too.
const LARGE: Case = Case { places: 3, fitting: 1, single: true, faults: 1, states: 5_762_687 };

impl Case {
    fn protocol(self) -> Protocol {
        let Self { places, single, faults, .. } = self;
        Protocol { rules: Rules::ALL, places, single, faults }
    }

    /// What the docs say of it.
    fn line(self) -> String {
        let Self { places, fitting, single, faults, states } = self;
        let (room, single) = (["one gang", "both"][fitting - 1], if single { "yes" } else { "no" });
        format!("| {places} | {room} | {single} | {faults} | {} | holds | holds |", with_commas(states))
    }

    fn is_safe(self) {
        let (broken, states) = check(self.protocol(), HasDiscoveries::Any);
        assert!(broken.is_empty(), "{broken:?}");
        assert_eq!(states, self.states);
    }

    fn comes_to_a_good_end(self) {
        let (stuck, states) = liveness::stuck(&self.protocol(), |state| is_settled(state, self.fitting));
        assert_eq!(stuck, None);
        assert_eq!(states, self.states);
    }
}

fn with_commas(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", with_commas(number / 1000), number % 1000),
    }
}

/// As many gangs run whole as there is room for, and nothing of the others runs.
fn is_settled(state: &State, fitting: usize) -> bool {
    let whole = (0..GANGS).filter(|gang| state.running(*gang) == MEMBERS).count();
    whole == fitting && (0..GANGS).all(|gang| matches!(state.running(gang), 0 | MEMBERS))
}

/// What is found broken, and how many states were seen: the first of what is looked for ends the search.
fn check(protocol: Protocol, sought: HasDiscoveries) -> (Vec<&'static str>, usize) {
    let checker = protocol.checker().finish_when(sought).spawn_bfs().join();
    let (steps, states, depth) = (checker.state_count(), checker.unique_state_count(), checker.max_depth());
    println!("{protocol:?}: {steps} steps, {states} states, longest shortest way {depth}");
    let mut broken: Vec<&str> = checker.discoveries().into_keys().collect();
    broken.sort_unstable();
    (broken, states)
}

#[test]
fn nothing_is_given_twice_and_no_gang_is_left_half_started() {
    CASES.into_iter().for_each(Case::is_safe);
}

#[test]
fn gangs_start_from_wherever_faults_have_brought_them() {
    CASES.into_iter().for_each(Case::comes_to_a_good_end);
}

#[test]
#[ignore = "takes minutes"]
fn faults_and_a_pod_of_no_gang_together_do_no_harm() {
    LARGE.is_safe();
    LARGE.comes_to_a_good_end();
}

#[test]
fn the_docs_say_what_was_checked() {
    let docs = include_str!("../../docs/trust.md");
    for case in CASES.into_iter().chain([LARGE]) {
        let line = case.line();
        assert!(docs.contains(&line), "docs/trust.md does not say {line}");
    }
}

/// Without one of its rules, what holds with all of them does not: what goes wrong, and where that is seen.
#[test]
fn every_rule_is_needed() {
    let [with_faults, with_single, with_room] = CASES;
    let without: [(&str, Rules, Case, &str); 6] = [
        ("barrier", Rules { barrier: false, ..Rules::ALL }, with_room, HALF),
        ("hold", Rules { hold: false, ..Rules::ALL }, with_faults, TWICE),
        ("check", Rules { check: false, ..Rules::ALL }, with_single, TWICE),
        ("fence", Rules { fence: false, ..Rules::ALL }, with_faults, TWICE),
        ("halves first", Rules { halves_first: false, ..Rules::ALL }, with_faults, HALF),
        ("halves taken up first", Rules { take_up_halves_first: false, ..Rules::ALL }, with_faults, HALF),
    ];
    for (rule, rules, case, expected) in without {
        let sought = HasDiscoveries::AnyOf([expected].into());
        let (broken, _) = check(Protocol { rules, ..case.protocol() }, sought);
        assert!(broken.contains(&expected), "without {rule}: {broken:?}");
    }
}

/// Our own search for states without a way out finds them where there are any.
#[test]
fn without_rules_gangs_are_stuck() {
    let without =
        [(Rules { halves_first: false, ..Rules::ALL }, 1), (Rules { take_up_halves_first: false, ..Rules::ALL }, 2)];
    for (rules, faults) in without {
        let protocol = Protocol { rules, places: 3, single: false, faults };
        let (stuck, _) = liveness::stuck(&protocol, |state| is_settled(state, 1));
        assert!(stuck.is_some(), "{protocol:?}");
    }
}

/// What testudo cannot know it cannot keep free: a new leader sends the rest of a gang to a place that it is refused, and then
/// gives the places that would do to another gang.
#[test]
fn a_new_leader_may_give_away_what_a_refused_member_needs() {
    let protocol = Protocol { rules: Rules::ALL, places: 4, single: false, faults: 1 };
    assert_eq!(check(protocol, HasDiscoveries::Any).0, [HALF]);
}
