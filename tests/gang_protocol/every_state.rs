//! Every state that the protocol of gangs can come to.

use gang_protocol::liveness;
use gang_protocol::protocol::{GANGS, MEMBERS, Protocol, Rules, State};
use stateright::{Checker, HasDiscoveries, Model};

/// Places, how many gangs they are room for, and how many faults there are: crashes, leader changes, lost writes, at any
/// time. `PROTOCOL_FAULTS` is for both: with one fault there are millions of states for four places.
const ROOMS: [(u8, usize, u8); 2] = [(3, 1, 2), (4, 2, 0)];

fn rooms() -> impl Iterator<Item = (u8, usize, u8)> {
    let faults = std::env::var("PROTOCOL_FAULTS").ok().map(|faults| faults.parse().expect("a number of faults"));
    ROOMS.into_iter().map(move |(places, fitting, few)| (places, fitting, faults.unwrap_or(few)))
}

fn whole_gangs(state: &State) -> usize {
    (0..GANGS).filter(|gang| state.running(*gang) == MEMBERS).count()
}

/// As many gangs run as there is room for, and the others hold nothing.
fn is_settled(state: &State, fitting: usize) -> bool {
    whole_gangs(state) == fitting && (0..GANGS).all(|gang| matches!(state.running(gang), 0 | MEMBERS))
}

/// What is found broken: the first of what is looked for ends the search.
fn check(protocol: Protocol, sought: HasDiscoveries) -> Vec<&'static str> {
    let checker = protocol.checker().finish_when(sought).spawn_bfs().join();
    println!(
        "{} places, {:?}: {} states, {} of them distinct, longest shortest way {}",
        protocol.places,
        protocol.rules,
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    let mut broken: Vec<&str> = checker.discoveries().into_keys().collect();
    broken.sort_unstable();
    broken
}

#[test]
fn nothing_is_given_twice_and_no_gang_is_left_half_started() {
    for (places, _, faults) in rooms() {
        let broken = check(Protocol { rules: Rules::ALL, places, faults }, HasDiscoveries::Any);
        assert!(broken.is_empty(), "{broken:?}");
    }
}

#[test]
fn gangs_start_from_wherever_faults_have_brought_them() {
    for (places, fitting, faults) in rooms() {
        let protocol = Protocol { rules: Rules::ALL, places, faults };
        let (stuck, states) = liveness::stuck(&protocol, |state| is_settled(state, fitting));
        println!("{places} places, {faults} faults: the end is in reach of all {states} states");
        assert_eq!(stuck, None);
    }
}

/// The protocol without one of its rules, and what goes wrong then.
#[test]
fn every_rule_is_needed() {
    const TWICE: &str = "no place is given twice";
    const HALF: &str = "a gang that runs in part can always be finished";
    let without: [(&str, Rules, u8, &str); 6] = [
        ("barrier", Rules { barrier: false, ..Rules::ALL }, 4, HALF),
        ("hold", Rules { hold: false, ..Rules::ALL }, 3, HALF),
        ("hold, check", Rules { hold: false, check: false, ..Rules::ALL }, 3, TWICE),
        ("fence", Rules { fence: false, ..Rules::ALL }, 3, TWICE),
        ("halves first", Rules { halves_first: false, ..Rules::ALL }, 3, HALF),
        ("halves taken up first", Rules { take_up_halves_first: false, ..Rules::ALL }, 3, HALF),
    ];
    for (rule, rules, places, expected) in without {
        let sought = HasDiscoveries::AnyOf([expected].into());
        let broken = check(Protocol { rules, places, faults: 2 }, sought);
        assert!(broken.contains(&expected), "without {rule}: {broken:?}");
    }
}
