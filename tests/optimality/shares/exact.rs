//! The optimum as an integer program: which pod goes where, so that most thousandths of GPUs are placed.
//!
//! The GPUs of a node are alike, so a pod for whole ones only needs a node, and shares need to be told apart by GPU.

use good_lp::{Expression, ProblemVariables, Solution, SolverModel, Variable, constraint, microlp, variable};

use super::instance::{Instance, Machine, Task};
use crate::cluster::Seat;

/// The best placement of an instance.
pub fn best(instance: &Instance) -> Vec<Option<Seat>> {
    let mut variables = ProblemVariables::new();
    let nodes: Vec<NodeModel> =
        instance.machines.iter().map(|machine| NodeModel::new(machine, instance, &mut variables)).collect();
    let placed: Expression =
        nodes.iter().flat_map(|node| &node.places).map(|place| gpu(place, instance) * place.is).sum();
    let mut problem = variables.maximise(placed).using(microlp);
    for task in 0..instance.tasks.len() {
        let places = nodes.iter().flat_map(|node| &node.places).filter(|place| place.task == task);
        problem = problem.with(constraint!(places.map(|place| place.is).sum::<Expression>() <= 1));
    }
    for (node, machine) in nodes.iter().zip(&instance.machines) {
        problem = node.limit(machine, instance).into_iter().fold(problem, SolverModel::with);
    }
    let solution = problem.solve().expect("placing nothing is feasible");
    let mut seats = vec![None; instance.tasks.len()];
    for (at, node) in nodes.iter().enumerate() {
        let chosen: Vec<&Place> = node.places.iter().filter(|place| solution.value(place.is) > 0.5).collect();
        let shared: Vec<usize> = chosen.iter().filter_map(|place| place.gpu).collect();
        let mut idle = (0..instance.machines[at].gpus()).filter(|gpu| !shared.contains(gpu));
        for place in chosen {
            let gpus = match place.gpu {
                Some(gpu) => vec![gpu],
                None => idle.by_ref().take(instance.tasks[place.task].whole().unwrap_or(0)).collect(),
            };
            seats[place.task] = Some(Seat { node: at, gpus });
        }
    }
    seats
}

/// Thousandths as parts of a GPU, so that the solver works on numbers of one order.
fn gpu(place: &Place, instance: &Instance) -> f64 {
    instance.tasks[place.task].asks.gpu as f64 / 1000.0
}

/// Where a pod may go.
struct Place {
    task: usize,
    /// Which GPU, for a share.
    gpu: Option<usize>,
    is: Variable,
}

/// The variables of one node.
struct NodeModel {
    places: Vec<Place>,
    /// Is this GPU for shares?
    for_shares: Vec<Variable>,
}

impl NodeModel {
    fn new(machine: &Machine, instance: &Instance, variables: &mut ProblemVariables) -> NodeModel {
        let accepted: Vec<(usize, &Task)> =
            instance.tasks.iter().enumerate().filter(|(_, task)| task.accepts(machine)).collect();
        let shares = accepted.iter().filter(|(_, task)| task.whole().is_none()).count();
        let for_shares: Vec<Variable> =
            (0..machine.gpus().min(shares)).map(|_| variables.add(variable().binary())).collect();
        let mut places = vec![];
        let mut earlier = 0;
        for (at, task) in accepted {
            let mut place = |gpu| places.push(Place { task: at, gpu, is: variables.add(variable().binary()) });
            if task.whole().is_some() {
                place(None);
            } else {
                // GPUs are alike: the first share may as well be on the first GPU, the second on one of the first two.
                (0..for_shares.len().min(earlier + 1)).for_each(|gpu| place(Some(gpu)));
                earlier += 1;
            }
        }
        NodeModel { places, for_shares }
    }

    fn limit(&self, machine: &Machine, instance: &Instance) -> Vec<good_lp::Constraint> {
        let asks = |place: &Place| instance.tasks[place.task].asks;
        let sum = |what: &dyn Fn(&Place) -> f64| -> Expression {
            self.places.iter().map(|place| what(place) * place.is).sum()
        };
        let cpu = sum(&|place| asks(place).cpu as f64 / 1000.0);
        let memory = sum(&|place| asks(place).memory as f64);
        let whole = sum(&|place| instance.tasks[place.task].whole().unwrap_or(0) as f64);
        let shared: Expression = self.for_shares.iter().sum();
        let mut limits = vec![
            constraint!(cpu <= machine.has.cpu as f64 / 1000.0),
            constraint!(memory <= machine.has.memory as f64),
            constraint!(whole + shared <= machine.gpus() as f64),
        ];
        for (gpu, is_used) in self.for_shares.iter().enumerate() {
            let on_it = sum(&|place| if place.gpu == Some(gpu) { asks(place).gpu as f64 / 1000.0 } else { 0.0 });
            limits.push(constraint!(on_it <= *is_used));
        }
        limits.extend(self.for_shares.windows(2).map(|pair| constraint!(pair[1] <= pair[0])));
        limits
    }
}
