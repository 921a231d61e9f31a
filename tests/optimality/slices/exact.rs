//! The optimum as an integer program over the placements of the product's table: which of them, on which GPU, so that most
//! memory slices are placed. Arrivals of one profile are alike.

use good_lp::{Expression, ProblemVariables, Solution, SolverModel, Variable, constraint, microlp, variable};
use testudo_core::model::mig::{MigGeometry, MigProfile, ProfileId};

use super::instance::{Instance, Seat, limits};

/// An instance of a profile at a place, or not.
struct Place<'g> {
    id: ProfileId,
    profile: &'g MigProfile,
    seat: Seat,
    is: Variable,
}

/// The best placement of an instance.
pub fn best(instance: &Instance, geometry: &MigGeometry) -> Vec<Option<Seat>> {
    let mut variables = ProblemVariables::new();
    let mut places: Vec<Place<'_>> = vec![];
    for gpu in 0..instance.gpus {
        for (id, profile) in geometry.profiles().filter(|(id, _)| instance.arrivals.contains(id)) {
            let is = |start: &u8| Place {
                id,
                profile,
                seat: Seat { gpu, start: *start },
                is: variables.add(variable().binary()),
            };
            places.extend(profile.starts.iter().map(is));
        }
    }
    let sum = |of: &dyn Fn(&Place<'_>) -> u32| -> Expression {
        places.iter().filter(|place| of(place) > 0).map(|place| f64::from(of(place)) * place.is).sum()
    };
    let mut problem = variables.maximise(sum(&|place| place.profile.size.into())).using(microlp);
    for (id, profile) in geometry.profiles() {
        let arrived = instance.arrivals.iter().filter(|arrival| **arrival == id).count() as f64;
        problem = problem.with(constraint!(sum(&|place| u32::from(place.id == id)) <= arrived));
        for gpu in 0..instance.gpus {
            let here = sum(&|place| u32::from(place.id == id && place.seat.gpu == gpu));
            problem = problem.with(constraint!(here <= f64::from(profile.max_instances)));
        }
    }
    for gpu in 0..instance.gpus {
        for slice in 0..geometry.memory_slices() {
            let covers = |place: &Place<'_>| {
                let slices = place.seat.start..place.seat.start + place.profile.size;
                u32::from(place.seat.gpu == gpu && slices.contains(&slice))
            };
            problem = problem.with(constraint!(sum(&covers) <= 1));
        }
        for (_, has, takes) in limits(geometry) {
            let taken = sum(&|place| if place.seat.gpu == gpu { takes(place.profile) } else { 0 });
            problem = problem.with(constraint!(taken <= f64::from(has)));
        }
    }
    let solution = problem.solve().expect("placing nothing is feasible");
    let mut chosen: Vec<&Place<'_>> = places.iter().filter(|place| solution.value(place.is) > 0.5).collect();
    let mut seat = |id: &ProfileId| {
        let at = chosen.iter().position(|place| place.id == *id)?;
        Some(chosen.swap_remove(at).seat)
    };
    let seats = instance.arrivals.iter().map(&mut seat).collect();
    assert!(chosen.is_empty(), "places for more than has arrived");
    seats
}
