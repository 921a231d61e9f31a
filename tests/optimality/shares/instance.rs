//! Small fleets with shareable GPUs, and the pods that come to them.

use testudo::sim::rng::Rng;

use crate::cluster::{Amounts, Seat};

/// Models of GPUs that are worth the same: equal memory, no links. The engine spares GPUs that are worth more, while the
/// optimum here counts all alike.
const MODELS: [&str; 3] = ["NVIDIA-A10", "NVIDIA-A10G", "NVIDIA-L4"];

/// How many pods of the workload run elsewhere.
const ELSEWHERE: usize = 300;

/// A node.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    pub model: &'static str,
    pub has: Amounts,
}

impl Machine {
    /// How many GPUs it has.
    pub fn gpus(&self) -> usize {
        (self.has.gpu / 1000) as usize
    }
}

/// A pod.
#[derive(Debug, Clone)]
pub struct Task {
    pub asks: Amounts,
    pub model: Option<&'static str>,
}

impl Task {
    /// How many whole GPUs it asks for; none for a share of one.
    pub fn whole(&self) -> Option<usize> {
        (self.asks.gpu >= 1000).then_some((self.asks.gpu / 1000) as usize)
    }

    /// Does it accept a node?
    pub fn accepts(&self, machine: &Machine) -> bool {
        self.model.is_none_or(|model| model == machine.model)
    }
}

/// A fleet and the pods that come to it, in this order.
#[derive(Debug, Clone)]
pub struct Instance {
    pub machines: Vec<Machine>,
    pub tasks: Vec<Task>,
    /// Pods of the same workload that run on nodes that are not ours.
    pub elsewhere: Vec<Task>,
}

/// How large instances may be.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub machines: usize,
    pub gpus: usize,
    pub tasks: usize,
}

/// What the tests are about.
pub const SMALL: Size = Size { machines: 5, gpus: 8, tasks: 14 };

/// So small that all placements can be tried.
pub const TINY: Size = Size { machines: 3, gpus: 2, tasks: 6 };

impl Instance {
    /// The instance of a seed. Its pods ask for as much as its nodes have, or more: else all would find room.
    pub fn draw(seed: u64, size: Size) -> Instance {
        let mut rng = Rng::new(seed);
        loop {
            let instance = Self::any(&mut rng, size);
            if instance.offered() >= instance.capacity() {
                return instance;
            }
        }
    }

    fn any(rng: &mut Rng, size: Size) -> Instance {
        let machines: Vec<Machine> = (0..2 + rng.below(size.machines - 1)).map(|_| machine(rng, size)).collect();
        let (sort, most) = (rng.below(3), 5 + rng.below(size.tasks - 4));
        let mut instance = Instance { machines, tasks: vec![], elsewhere: vec![] };
        let enough = instance.capacity() * (21 + rng.below(10) as i64) / 20;
        while instance.tasks.len() < most && instance.offered() < enough {
            let task = task(rng, sort, &instance.machines);
            instance.tasks.push(task);
        }
        let mut rng = rng.branch();
        instance.elsewhere = (0..ELSEWHERE).map(|_| task(&mut rng, sort, &instance.machines)).collect();
        instance
    }

    fn offered(&self) -> i64 {
        self.tasks.iter().map(|task| task.asks.gpu).sum()
    }

    fn capacity(&self) -> i64 {
        self.machines.iter().map(|machine| machine.has.gpu).sum()
    }
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len())]
}

fn machine(rng: &mut Rng, size: Size) -> Machine {
    let gpus = (1 + rng.below(size.gpus)).min(1 + rng.below(size.gpus)) as i64;
    let cpu = gpus * pick(rng, &[8_000, 12_000, 16_000]);
    let memory = gpus * pick(rng, &[32, 48, 64]);
    Machine { model: pick(rng, &MODELS), has: Amounts { cpu, memory, gpu: gpus * 1000 } }
}

/// A pod of a workload of shares, of whole GPUs, or of both; a quarter insists on a model that is there.
fn task(rng: &mut Rng, sort: usize, machines: &[Machine]) -> Task {
    const SHARES: [i64; 8] = [100, 200, 250, 300, 400, 500, 600, 750];
    const WHOLE: [i64; 6] = [1000, 1000, 1000, 2000, 2000, 4000];
    // Of twelve pods so many want a share.
    let is_share = rng.below(12) < [9, 2, 6][sort];
    let gpu = if is_share { pick(rng, &SHARES) } else { pick(rng, &WHOLE) };
    let largest = machines.iter().map(|machine| machine.has.gpu).max().unwrap_or(1000);
    let gpu = gpu.min(largest);
    // Some ask for much beside little of a GPU: then CPU or memory run out first.
    let cpu = (gpu * pick(rng, &[2, 4, 8, 12])).max(500);
    let memory = (gpu * pick(rng, &[4, 16, 32, 48]) / 1000).max(1);
    let model = (rng.below(4) == 0).then(|| pick(rng, machines).model);
    Task { asks: Amounts { cpu, memory, gpu }, model }
}

impl Instance {
    /// Checks a placement from nothing but what was asked for and what there is: where each pod is, on distinct GPUs of a
    /// node that it accepts, with nothing given twice. Returns the thousandths of GPUs that were placed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, seats: &[Option<Seat>]) -> Result<i64, String> {
        if seats.len() != self.tasks.len() {
            return Err(format!("{} seats for {} pods", seats.len(), self.tasks.len()));
        }
        let mut placed = 0;
        for (at, machine) in self.machines.iter().enumerate() {
            let here = self.tasks.iter().zip(seats).filter_map(|(task, seat)| Some((task, seat.as_ref()?)));
            let here: Vec<(&Task, &Seat)> = here.filter(|(_, seat)| seat.node == at).collect();
            let mut used = Amounts { cpu: 0, memory: 0, gpu: 0 };
            let mut gpus = vec![0; machine.gpus()];
            for (task, seat) in &here {
                if !task.accepts(machine) {
                    return Err(format!("{task:?} does not accept node {at}"));
                }
                let mut distinct = seat.gpus.clone();
                distinct.sort_unstable();
                distinct.dedup();
                if distinct.len() != seat.gpus.len() || distinct.len() != task.whole().unwrap_or(1) {
                    return Err(format!("{task:?} was given {:?}", seat.gpus));
                }
                for gpu in &seat.gpus {
                    *gpus.get_mut(*gpu).ok_or(format!("node {at} has no GPU {gpu}"))? += task.asks.gpu.min(1000);
                }
                used.cpu += task.asks.cpu;
                used.memory += task.asks.memory;
                used.gpu += task.asks.gpu;
            }
            if gpus.iter().any(|used| *used > 1000) || used.cpu > machine.has.cpu || used.memory > machine.has.memory {
                return Err(format!("node {at} holds more than it has: {gpus:?} and {used:?} of {machine:?}"));
            }
            placed += used.gpu;
        }
        if seats.iter().flatten().any(|seat| seat.node >= self.machines.len()) {
            return Err("a pod is on a node that is not there".into());
        }
        Ok(placed)
    }
}
