//! What happens to a simulated cluster from outside: users, machines and faults, each at its time. It follows from the seed,
//! and a part of it is a script, too: so a failing one can be made shorter.

use std::fmt;

use testudo::sim::rng::Rng;

use crate::network::Weather;

/// What the machines of a node are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Machine {
    /// So many GPUs of a device plugin.
    Plugin(usize),
    /// So many GPUs that are claimed as wholes.
    Claimed(usize),
    /// So many GPUs that are claimed as wholes or in parts.
    Parted(usize),
}

/// What somebody wants to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Pods.
    pub pods: usize,
    /// How many of them must start together; none where each is for itself.
    pub together: Option<usize>,
    /// GPUs of a device plugin for each.
    pub gpus: usize,
    /// Devices for each, and of which class.
    pub claims: Option<(&'static str, usize)>,
    /// GPUs or devices for each of those of a second role; none where all are alike.
    pub second_role: Option<usize>,
    /// Are its claims made by hand, and stay when its pods go?
    pub keeps_claims: bool,
    /// Thousandths of CPUs for each.
    pub cpu: usize,
    /// Its priority.
    pub priority: i64,
    /// Do its pods wait with testudo's gate?
    pub gated: bool,
    /// Do its pods wait with Kueue's gate until it admits them?
    pub queued: bool,
    /// Is it a gang of Kubernetes itself, with a PodGroup?
    pub native: bool,
    /// Is each pod made only when the one before it runs, or has ended well? Then for so long the first one runs.
    pub staged: Option<u64>,
    /// How long a pod that is deleted goes on running, at most.
    pub ends_ms: usize,
    /// How long a pod runs.
    pub lasts_ms: Option<u64>,
}

/// How much the namespace of all workloads may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// GPUs, of device plugins and of claims.
    pub gpus: usize,
    /// Gangs that run or have places.
    pub gangs: usize,
}

/// Nodes that an autoscaler makes, and takes away when nothing runs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeGroup {
    /// What they are.
    pub machine: Machine,
    /// How many there are at most.
    pub most: usize,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A user wants something to run.
    Create(Workload),
    /// A user wants it no more.
    Delete(String),
    /// A user takes one pod away; whoever keeps the workload makes another.
    Lose(String),
    /// A user wants one pod more of it.
    Grow(String),
    /// All its pods are deleted and others made under the same name, while those still leave.
    Renew(String),
    /// One of its pods fails, and with that all others are deleted and made anew, as after a failed job.
    Fail(String),
    /// A node vanishes, and comes back after a while.
    NodeGoes(usize, u64),
    /// A node is closed for a while.
    Cordon(usize, u64),
    /// So many of the GPUs of a node fail for a while.
    GpusFail(usize, usize, u64),
    /// A driver publishes its devices anew; one of them is missing from then on for a while.
    Republish(usize, Option<usize>, u64),
    /// An autoscaler adds a node.
    NodeComes(Machine),
    /// A replica of testudo is killed, and starts again after a while.
    Crash(usize, u64),
    /// A replica is stopped for a while, and does not know it.
    Pause(usize, u64),
    /// Whoever of testudo sends the request that is so many writes from now is killed then, and starts again after a while.
    CrashAtWrite(usize, u64),
    /// Whoever of testudo sends the request that is so many writes from now is stopped then, for a while.
    PauseAtWrite(usize, u64),
    /// The network is like this for a while.
    Storm(Weather, u64),
    /// The connections of all watches end.
    BreakWatches,
    /// The API server forgets what has happened: whoever is behind has to list anew.
    Compact,
    /// kube-scheduler is killed, and starts again after a while.
    SchedulerRestarts(u64),
    /// A second kube-scheduler takes over, while the first does not know it for a while.
    SchedulerTakesOver(u64),
    /// A user deletes the claims of a workload that runs.
    DeleteClaims(String),
    /// kube-scheduler's own filters refuse a node to half of all pods for a while.
    Refuse(usize, u64),
    /// kube-scheduler looks for places for a whole gang, and does nothing with what it finds.
    OnlyLook(String),
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: &u64| *ms as f64 / 1000.0;
        match self {
            Self::Create(it) => {
                write!(f, "{} is created: {} pods of {} GPUs", it.name, it.pods, it.gpus)?;
                if let Some((class, count)) = it.claims {
                    let kept = if it.keeps_claims { " that stays" } else { "" };
                    write!(f, ", each with a claim for {count} of class {class}{kept}")?;
                }
                if let Some(together) = it.together {
                    write!(f, ", {together} together")?;
                }
                if let Some(devices) = it.second_role {
                    write!(f, ", every third is of a second role and asks for {devices}")?;
                }
                if let Some(first_ms) = it.staged {
                    write!(f, ", made one after the other, the first for {} s", seconds(&first_ms))?;
                }
                let gated = if it.gated { ", gated" } else { "" };
                let queued = if it.queued { ", held back by Kueue" } else { "" };
                let native = if it.native { ", with a PodGroup" } else { "" };
                write!(f, ", priority {}{gated}{queued}{native}", it.priority)?;
                it.lasts_ms.map_or(Ok(()), |ms| write!(f, ", for {} s", seconds(&ms)))
            }
            Self::Delete(name) => write!(f, "{name} is deleted"),
            Self::Lose(name) => write!(f, "a pod of {name} is deleted"),
            Self::Grow(name) => write!(f, "{name} gets one pod more"),
            Self::Renew(name) => write!(f, "all pods of {name} are deleted, and others are made"),
            Self::Fail(name) => write!(f, "a pod of {name} fails: all others are deleted, and all made anew"),
            Self::NodeGoes(node, ms) => write!(f, "node n{node} vanishes for {} s", seconds(ms)),
            Self::Cordon(node, ms) => write!(f, "node n{node} is closed for {} s", seconds(ms)),
            Self::GpusFail(node, count, ms) => write!(f, "{count} GPUs of node n{node} fail for {} s", seconds(ms)),
            Self::Republish(node, None, _) => write!(f, "the driver of node n{node} publishes its devices anew"),
            Self::Republish(node, Some(gpu), ms) => {
                write!(
                    f,
                    "the driver of node n{node} publishes its devices anew, gpu-{gpu} is missing for {} s",
                    seconds(ms)
                )
            }
            Self::NodeComes(machine) => write!(f, "an autoscaler adds a node: {machine:?}"),
            Self::Crash(replica, ms) => {
                write!(f, "testudo-{replica} is killed, and starts again after {} s", seconds(ms))
            }
            Self::Pause(replica, ms) => write!(f, "testudo-{replica} is stopped for {} s", seconds(ms)),
            Self::CrashAtWrite(nth, ms) => {
                write!(f, "who makes write {nth} from now is killed, and starts again after {} s", seconds(ms))
            }
            Self::PauseAtWrite(nth, ms) => {
                write!(f, "who makes write {nth} from now is stopped for {} s", seconds(ms))
            }
            Self::Storm(it, ms) => write!(
                f,
                "for {} s requests take up to {} ms, {} % of them get lost, {} % fail, {} % are stuck, watches are behind by up to {} ms",
                seconds(ms),
                it.delay_ms,
                it.lost,
                it.failed,
                it.stuck,
                it.lag_ms
            ),
            Self::BreakWatches => f.write_str("the connections of all watches end"),
            Self::Compact => f.write_str("the API server forgets what has happened"),
            Self::SchedulerRestarts(ms) => {
                write!(f, "kube-scheduler is killed, and starts again after {} s", seconds(ms))
            }
            Self::SchedulerTakesOver(ms) => {
                write!(f, "another kube-scheduler takes over, and the first goes on for {} s", seconds(ms))
            }
            Self::DeleteClaims(name) => write!(f, "the claims of {name} are deleted"),
            Self::Refuse(node, ms) => {
                write!(f, "kube-scheduler refuses node n{node} to half of all pods for {} s", seconds(ms))
            }
            Self::OnlyLook(name) => write!(f, "kube-scheduler looks for places for {name}, without consequences"),
        }
    }
}

/// A cluster, and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What is left to chance follows from this.
    pub seed: u64,
    /// Plans take their time, so that much has changed when they come.
    pub plans_slowly: bool,
    /// The nodes at the beginning.
    pub nodes: Vec<Machine>,
    /// What the users may have, where there is a limit.
    pub quota: Option<Quota>,
    /// What an autoscaler may add, where there is one.
    pub group: Option<NodeGroup>,
    /// Are nodes kept free for gangs that have waited long?
    pub impatient: bool,
    /// What happens, in the order of time (milliseconds).
    pub inputs: Vec<(u64, Input)>,
}

/// What kind of day a cluster has, by its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    /// Things happen now and then.
    Usual,
    /// Replicas are struck while they write, and users change their minds meanwhile.
    Ambushed,
    /// All watches are seconds behind all the time, and kube-scheduler finds something against nodes again and again.
    Behind,
    /// Answers get lost and requests stuck all the time, leaders die again and again, plans come late.
    Rough,
}

const DAYS: [Day; 4] = [Day::Usual, Day::Ambushed, Day::Behind, Day::Rough];

/// For so long things happen.
pub const CHAOS_MS: u64 = 40_000;

impl Script {
    /// The script of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x7465_7374_7564_6f00);
        let claims = rng.below(4) > 0;
        // What parts are worth takes long to find out where nothing is optimised.
        let parts = claims && rng.below(4) == 0;
        let machine = move |rng: &mut Rng| match rng.below(if claims { 4 } else { 2 }) {
            0 => Machine::Plugin(8),
            1 => Machine::Plugin(4),
            3 if parts => Machine::Parted(1 + rng.below(2)),
            _ => Machine::Claimed(4),
        };
        let nodes: Vec<Machine> = (0..2 + rng.below(3)).map(|_| machine(&mut rng)).collect();
        let quota = (rng.below(4) == 0).then(|| Quota { gpus: 6 + 4 * rng.below(3), gangs: 1 + rng.below(4) });
        let group = (rng.below(4) == 0).then(|| NodeGroup { machine: Machine::Plugin(8), most: 1 + rng.below(3) });
        let impatient = rng.below(3) == 0;
        let day = DAYS[(seed % DAYS.len() as u64) as usize];
        let staged = quota.is_none();
        let mut writer = Writer { rng, staged, claims, parts, day, nodes: nodes.len(), names: vec![], machine };
        let mut inputs = vec![];
        for _ in 0..2 + writer.rng.below(6) {
            let at = writer.rng.below(8_000) as u64;
            inputs.push((at, writer.create()));
        }
        for _ in 0..4 + writer.rng.below(14) {
            let at = 1_000 + writer.rng.below(CHAOS_MS as usize - 1_000) as u64;
            inputs.push((at, writer.input()));
        }
        inputs.extend(match day {
            Day::Usual => vec![],
            Day::Ambushed => writer.ambushes(&inputs),
            Day::Behind => writer.day_behind(),
            Day::Rough => writer.rough_day(),
        });
        inputs.sort_by_key(|(at, _)| *at);
        Self { seed, plans_slowly: day == Day::Rough, nodes, quota, group, impatient, inputs }
    }
}

struct Writer<M> {
    rng: Rng,
    /// May members be made in stages? Places are kept then for those that no quota counts yet, and they may not come.
    staged: bool,
    claims: bool,
    parts: bool,
    day: Day,
    nodes: usize,
    names: Vec<String>,
    machine: M,
}

impl<M: Fn(&mut Rng) -> Machine> Writer<M> {
    fn create(&mut self) -> Input {
        let rng = &mut self.rng;
        let name = format!("w{}", self.names.len());
        self.names.push(name.clone());
        let claims = (self.claims && rng.below(2) == 0).then(|| match rng.below(3) {
            0 if self.parts => ("mig", 1),
            _ => ("gpu", 1 + rng.below(2)),
        });
        let gang = rng.below(3) > 0;
        let pods = if gang { 2 + rng.below(3) } else { 1 + rng.below(2) };
        let gpus = if claims.is_some() { 0 } else { [1, 1, 2, 2, 4, 8][rng.below(6)] };
        // To say in how many ways parts can be had takes long, so nobody asks for many.
        let sizes = if claims.is_some_and(|(class, _)| class == "mig") { [1, 1, 2, 2] } else { [1, 1, 2, 4] };
        let second_role = (gang && rng.below(4) == 0).then(|| sizes[rng.below(4)]);
        let extras = match second_role {
            Some(_) => 2 + rng.below(2),
            None => usize::from(gang && rng.below(5) == 0),
        };
        let is_staged = rng.below(4) == 0 && gang && self.staged && claims.is_none() && second_role.is_none();
        let staged = is_staged.then(|| [1_000, 500_000][rng.below(2)]);
        Input::Create(Workload {
            name,
            pods: pods + extras,
            together: gang.then_some(pods),
            gpus,
            claims,
            second_role,
            keeps_claims: self.day == Day::Ambushed && claims.is_some(),
            cpu: 500 + 500 * rng.below(4),
            priority: [0, 0, 0, 100][rng.below(4)],
            gated: rng.below(2) == 0 && gang,
            queued: rng.below(6) == 0,
            native: rng.below(4) == 0 && gang && !is_staged,
            staged,
            ends_ms: [1_500, 8_000][rng.below(2)],
            lasts_ms: (rng.below(3) == 0).then(|| 2_000 + rng.below(20_000) as u64),
        })
    }

    fn input(&mut self) -> Input {
        let kind = self.rng.below(31);
        let mut a_while = |most: usize| 500 + self.rng.below(most) as u64;
        let (short, long) = (a_while(6_000), a_while(22_000));
        let node = self.rng.below(self.nodes);
        let replica = self.rng.below(2);
        match kind {
            0 | 1 => self.create(),
            2 => Input::Delete(self.some()),
            3 => Input::Lose(self.some()),
            4 => Input::Grow(self.some()),
            5 => Input::NodeGoes(node, long),
            6 => Input::Cordon(node, long),
            7 => Input::GpusFail(node, 1 + self.rng.below(2), long),
            8 => Input::Republish(node, None, 0),
            9 => Input::Republish(node, Some(self.rng.below(2)), long),
            10 => {
                self.nodes += 1;
                Input::NodeComes((self.machine)(&mut self.rng))
            }
            11..=13 => Input::Crash(replica, short),
            14 | 15 => Input::Pause(replica, long),
            16..=18 => Input::Storm(self.storm(), long),
            19 => Input::BreakWatches,
            20 => Input::Compact,
            21 => Input::SchedulerRestarts(short),
            22 => Input::Refuse(node, long),
            23 | 24 => Input::SchedulerTakesOver(long),
            25 if self.claims => Input::DeleteClaims(self.some()),
            26 | 27 => Input::Renew(self.some()),
            28 | 29 => Input::Fail(self.some()),
            _ => Input::OnlyLook(self.some()),
        }
    }

    fn rough_day(&mut self) -> Vec<(u64, Input)> {
        let rng = &mut self.rng;
        let (delay_ms, lag_ms) = ([100, 500][rng.below(2)], [300, 2_000][rng.below(2)]);
        let weather = Weather { delay_ms, lost: 20, failed: 5, stuck: 5, lag_ms };
        let mut inputs = vec![(200, Input::Storm(weather, CHAOS_MS))];
        for _ in 0..6 {
            let at = 1_000 + rng.below(CHAOS_MS as usize - 1_000) as u64;
            inputs.push((at, Input::Crash(rng.below(2), 200 + rng.below(2_000) as u64)));
        }
        inputs
    }

    fn day_behind(&mut self) -> Vec<(u64, Input)> {
        let lag_ms = [1_000, 3_000][self.rng.below(2)];
        let weather = Weather { delay_ms: 100, lost: 0, failed: 0, stuck: 0, lag_ms };
        let mut inputs = vec![(200, Input::Storm(weather, CHAOS_MS))];
        for _ in 0..6 {
            let at = 500 + self.rng.below(CHAOS_MS as usize - 500) as u64;
            let (node, for_ms) = (self.rng.below(self.nodes), 500 + self.rng.below(6_000) as u64);
            inputs.push((at, Input::Refuse(node, for_ms)));
            inputs.push((at / 2, self.create()));
        }
        inputs
    }

    /// Strikes while something is written for workloads that have just come, and users who want these no more.
    fn ambushes(&mut self, inputs: &[(u64, Input)]) -> Vec<(u64, Input)> {
        let created = |(at, input): &(u64, Input)| match input {
            Input::Create(workload) => Some((*at, workload.name.clone())),
            _ => None,
        };
        let created: Vec<(u64, String)> = inputs.iter().filter_map(created).collect();
        let mut struck = vec![];
        for _ in 0..4 {
            let (at, name) = created[self.rng.below(created.len())].clone();
            let nth = 1 + self.rng.below(6);
            struck.push((
                at,
                match self.rng.below(2) {
                    0 => Input::CrashAtWrite(nth, 1_000 + self.rng.below(24_000) as u64),
                    // About as long as a lease or longer: another leads when it comes back.
                    _ => Input::PauseAtWrite(nth, 13_000 + self.rng.below(12_000) as u64),
                },
            ));
            let soon = at + 500 + self.rng.below(8_000) as u64;
            match self.rng.below(4) {
                0 => struck.push((soon, Input::Delete(name))),
                1 => struck.push((soon, Input::Lose(name))),
                2 => struck.push((soon, Input::Renew(name))),
                _ => {}
            }
        }
        struck
    }

    fn storm(&mut self) -> Weather {
        let rng = &mut self.rng;
        Weather {
            delay_ms: [20, 200, 1_000][rng.below(3)],
            lost: [0, 10, 30][rng.below(3)],
            failed: [0, 10, 30][rng.below(3)],
            stuck: 0,
            lag_ms: [30, 500, 3_000][rng.below(3)],
        }
    }

    fn some(&mut self) -> String {
        self.names[self.rng.below(self.names.len())].clone()
    }
}
