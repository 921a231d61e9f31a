//! Rules that place pods as they come, without knowing the next: the engine, and two to compare it with.

use testudo_core::model::catalogue::Catalogue;

use super::instance::{Instance, Task};
use crate::cluster::{Amounts, Fleet, MODEL, Seat, node, pod};

/// What the engine does that has seen no pod yet.
pub fn fresh(instance: &Instance) -> Vec<Option<Seat>> {
    engine(instance, &[])
}

/// What the engine does that knows the workload from pods that run elsewhere in the cluster.
pub fn informed(instance: &Instance) -> Vec<Option<Seat>> {
    engine(instance, &instance.elsewhere)
}

fn engine(instance: &Instance, elsewhere: &[Task]) -> Vec<Option<Seat>> {
    let catalogue = Catalogue::builtin();
    let machines = instance.machines.iter().enumerate();
    let nodes = machines.map(|(at, m)| node(&format!("node-{at}"), &[(MODEL, m.model)], m.has, &catalogue));
    let mut fleet = Fleet::new(nodes.collect());
    for (at, task) in elsewhere.iter().enumerate() {
        fleet.knows(&pod(&format!("elsewhere-{at}"), task.asks, task.model));
    }
    let tasks = instance.tasks.iter().enumerate();
    tasks.map(|(at, task)| fleet.place(&pod(&format!("pod-{at}"), task.asks, task.model))).collect()
}

/// The first node that fits.
pub fn first_fit(instance: &Instance) -> Vec<Option<Seat>> {
    by_least(instance, |_, _| 0)
}

/// The node on which least is left over, of CPU and GPU as parts of a large machine (128 cores, 8 GPUs) as in the
/// published experiments.
pub fn best_fit(instance: &Instance) -> Vec<Option<Seat>> {
    by_least(instance, |free, asks| (free.cpu - asks.cpu) + 16 * (free.gpu - asks.gpu))
}

/// The node with the least score, of equals the first; there the GPUs with the least left.
fn by_least(instance: &Instance, score: impl Fn(Amounts, Amounts) -> i64) -> Vec<Option<Seat>> {
    let mut free: Vec<(Amounts, Vec<i64>)> =
        instance.machines.iter().map(|machine| (machine.has, vec![1000; machine.gpus()])).collect();
    let place = |task: &Task| {
        let each = task.asks.gpu.min(1000);
        let fitting = free.iter().zip(&instance.machines).enumerate().filter_map(|(at, ((free, gpus), machine))| {
            let tightest = tightest(gpus, each, task.whole().unwrap_or(1))?;
            let fits = task.accepts(machine) && free.cpu >= task.asks.cpu && free.memory >= task.asks.memory;
            fits.then(|| (score(*free, task.asks), at, tightest))
        });
        let (_, node, gpus) = fitting.min()?;
        let (left, of_gpus) = &mut free[node];
        left.cpu -= task.asks.cpu;
        left.memory -= task.asks.memory;
        left.gpu -= task.asks.gpu;
        gpus.iter().for_each(|gpu| of_gpus[*gpu] -= each);
        Some(Seat { node, gpus })
    };
    instance.tasks.iter().map(place).collect()
}

fn tightest(gpus: &[i64], each: i64, count: usize) -> Option<Vec<usize>> {
    let mut fitting: Vec<usize> = (0..gpus.len()).filter(|gpu| gpus[*gpu] >= each).collect();
    fitting.sort_by_key(|gpu| gpus[*gpu]);
    fitting.get(..count).map(<[usize]>::to_vec)
}
