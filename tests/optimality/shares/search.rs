//! The optimum by trying every placement: nothing to get wrong, and too slow for all but tiny instances.

use super::instance::Instance;

/// The most thousandths of GPUs that can be placed.
pub fn most(instance: &Instance) -> i64 {
    let free = instance.machines.iter().map(|machine| Free {
        cpu: machine.has.cpu,
        memory: machine.has.memory,
        gpus: vec![1000; machine.gpus()],
    });
    try_from(instance, 0, &mut free.collect())
}

struct Free {
    cpu: i64,
    memory: i64,
    gpus: Vec<i64>,
}

/// The most that can be placed of the pods from `task` on.
fn try_from(instance: &Instance, task: usize, free: &mut Vec<Free>) -> i64 {
    let Some(asks) = instance.tasks.get(task) else { return 0 };
    let mut most = try_from(instance, task + 1, free);
    for (at, machine) in instance.machines.iter().enumerate() {
        let node = &mut free[at];
        if !asks.accepts(machine) || node.cpu < asks.asks.cpu || node.memory < asks.asks.memory {
            continue;
        }
        let each = asks.asks.gpu.min(1000);
        let fitting: Vec<usize> = (0..node.gpus.len()).filter(|gpu| node.gpus[*gpu] >= each).collect();
        // Whole GPUs that are free are alike; a share is tried on every GPU.
        let choices: Vec<&[usize]> = match asks.whole() {
            Some(count) => fitting.get(..count).into_iter().collect(),
            None => fitting.chunks(1).collect(),
        };
        for gpus in choices {
            shift(&mut free[at], asks.asks.cpu, asks.asks.memory, gpus, each);
            most = most.max(asks.asks.gpu + try_from(instance, task + 1, free));
            shift(&mut free[at], -asks.asks.cpu, -asks.asks.memory, gpus, -each);
        }
    }
    most
}

fn shift(node: &mut Free, cpu: i64, memory: i64, gpus: &[usize], each: i64) {
    node.cpu -= cpu;
    node.memory -= memory;
    gpus.iter().for_each(|gpu| node.gpus[*gpu] -= each);
}
