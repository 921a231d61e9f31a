//! Several GPUs for one pod: has what it is given the best slowest link that any choice of free GPUs has?

mod brute;

use std::sync::Arc;

use testudo::sim::rng::Rng;
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::fabric::{Bandwidth, DeviceSet, Fabric};
use testudo_core::model::node::Node;

use crate::cluster::{Amounts, Fleet, node, pod};

/// A machine with four pairs of bridged cards beside those of the catalogue.
const BRIDGED: &str = "
fabrics:
  bridged-pairs:
    nvlink:
      slots: {devices: 8, numaNodes: 2}
      gbpsPerLink: 50
      pairs: [[0, 1, 12], [2, 3, 12], [4, 5, 12], [6, 7, 4]]
machines:
  bridged: {accelerator: A100-80GB-PCIe, count: 8, fabric: bridged-pairs}
";

/// One of each sort of fabric: NVSwitch, cube mesh, half a cube mesh, bridges, PCIe only.
const MACHINES: [&str; 5] = ["p4d.24xlarge", "p3.16xlarge", "p3.8xlarge", "bridged", "g6.48xlarge"];

fn catalogue() -> Catalogue {
    Catalogue::builtin().extended_with(BRIDGED).expect("a catalogue")
}

fn fabric(machine: &str, catalogue: &Catalogue) -> Arc<Fabric> {
    Arc::clone(&catalogue.machine_by_instance_type(machine).expect("a machine").fabric)
}

/// A machine whose GPUs can be shared.
fn shareable(at: usize, machine: &str, catalogue: &Catalogue) -> Node {
    let gpus = fabric(machine, catalogue).len() as i64;
    let has = Amounts { cpu: 96_000, memory: 1024, gpu: gpus * 1000 };
    node(&format!("node-{at}"), &[("node.kubernetes.io/instance-type", machine)], has, catalogue)
}

fn is_best(fabric: &Fabric, free: DeviceSet, count: usize, given: Option<(DeviceSet, Bandwidth)>) {
    let best = brute::best(fabric, free, count).filter(|best| *best > Bandwidth::NONE);
    assert_eq!(given.map(|(_, bandwidth)| bandwidth), best, "{count} of {free}: {given:?}");
    if let Some((set, bandwidth)) = given {
        assert!(set.is_subset(free) && set.len() == count, "{count} of {free}: {set}");
        assert_eq!((bandwidth, fabric.bottleneck(set)), (brute::bottleneck(fabric, set), bandwidth), "{set}");
    }
}

#[test]
fn the_best_set_of_every_choice_of_free_devices_is_the_best() {
    let catalogue = catalogue();
    for machine in MACHINES {
        let fabric = fabric(machine, &catalogue);
        for free in (0..1 << fabric.len()).map(DeviceSet) {
            for count in 1..=free.len() {
                is_best(&fabric, free, count, fabric.best_subset(free, count));
            }
        }
    }
}

#[test]
fn the_best_set_is_the_best_on_samples_of_a_torus() {
    let fabric = fabric("trn1.32xlarge", &catalogue());
    let mut rng = Rng::new(1);
    for _ in 0..40 {
        let free = DeviceSet(rng.number() as u32 & fabric.all().0);
        for count in 1..=free.len().min(6) {
            is_best(&fabric, free, count, fabric.best_subset(free, count));
        }
    }
}

#[test]
fn every_pod_for_several_gpus_gets_the_best_that_its_node_has() {
    let catalogue = catalogue();
    let mut several = 0;
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let nodes = MACHINES.iter().enumerate().map(|(at, machine)| shareable(at, machine, &catalogue));
        let mut fleet = Fleet::new(nodes.collect());
        let fabrics = MACHINES.map(|machine| fabric(machine, &catalogue));
        // Books of our own: what is free of each GPU, and who has what.
        let mut free: Vec<Vec<i64>> = fabrics.iter().map(|fabric| vec![1000; fabric.len()]).collect();
        let mut running = vec![];
        for at in 0..60 {
            if !running.is_empty() && rng.below(3) == 0 {
                let (pod, seat, each): (_, crate::cluster::Seat, i64) = running.swap_remove(rng.below(running.len()));
                fleet.remove(&pod);
                seat.gpus.iter().for_each(|gpu| free[seat.node][*gpu] += each);
                continue;
            }
            let gpu = [200, 500, 700, 1000, 2000, 2000, 3000, 4000, 8000][rng.below(9)];
            let pod = pod(&format!("pod-{at}"), Amounts { cpu: 1000, memory: 4, gpu }, None);
            let Some(seat) = fleet.place(&pod) else { continue };
            let (fabric, free) = (&fabrics[seat.node], &mut free[seat.node]);
            let each = gpu.min(1000);
            if gpu > 1000 {
                let whole = (0..free.len()).filter(|gpu| free[*gpu] == 1000).collect();
                let given: DeviceSet = seat.gpus.iter().copied().collect();
                is_best(fabric, whole, (gpu / 1000) as usize, Some((given, fabric.bottleneck(given))));
                several += 1;
            }
            for gpu in &seat.gpus {
                free[*gpu] -= each;
                assert!(free[*gpu] >= 0, "seed {seed}: GPU {gpu} of node {} is given twice", seat.node);
            }
            running.push((pod, seat, each));
        }
    }
    assert!(several > 200, "only {several} pods got several GPUs");
}
