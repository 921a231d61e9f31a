//! Nodes and the devices that their drivers publish.

use serde_json::{Map, Value, json};

use crate::api::store::{Key, Kind, Store, text};
use crate::facts::Amounts;
use crate::script::Machine;

/// The driver of claimed GPUs, which testudo knows.
pub const DRIVER: &str = "gpu.nvidia.com";

/// Memory slices of a GPU that can be parted.
const SLICES: usize = 8;

/// Its parts: name, memory slices, and where they may begin.
const PARTS: [(&str, usize, &[usize]); 2] = [("3g40gb-9", 4, &[0, 4]), ("1g10gb-19", 1, &[0, 1, 2, 3])];

/// A machine, whether its node is there or not.
#[derive(Debug, Clone)]
pub struct Station {
    /// The name of its node.
    pub name: String,
    /// What it is.
    pub machine: Machine,
    /// The generation of its pool.
    generation: u64,
    /// When its node comes back; none while it is there.
    pub back_ms: Option<u64>,
    /// When what is wrong with it is mended.
    pub mended_ms: Option<u64>,
}

impl Station {
    /// One that has just come.
    pub fn new(index: usize, machine: Machine) -> Self {
        Self { name: format!("n{index}"), machine, generation: 0, back_ms: None, mended_ms: None }
    }

    /// Its node joins the cluster, and its devices are published.
    pub fn join(&mut self, store: &mut Store) {
        self.back_ms = None;
        let resources = self.resources();
        let (kind, gpus) = match self.machine {
            Machine::Plugin(gpus) => ("plugin", gpus),
            Machine::Claimed(gpus) => ("claimed", gpus),
            Machine::Parted(gpus) => ("parted", gpus),
        };
        let labels = json!({
            "kubernetes.io/hostname": self.name,
            "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
            "eks.amazonaws.com/nodegroup": format!("{kind}-{gpus}"),
        });
        let node = json!({
            "metadata": {"name": self.name, "labels": labels}, "spec": {},
            "status": {"capacity": resources, "allocatable": resources},
        });
        // It is there already where it came back before it was missed.
        let _ = store.create(Kind::Node, node);
        self.publish(None, store);
    }

    fn resources(&self) -> Value {
        let mut resources = json!({"cpu": "16000m", "memory": "256Gi", "pods": "20"});
        if let Machine::Plugin(gpus) = self.machine {
            resources["nvidia.com/gpu"] = json!(gpus.to_string());
        }
        resources
    }

    /// What its node has for pods.
    pub fn has(&self) -> Amounts {
        Amounts::read(&self.resources())
    }

    /// An autoscaler is about to remove its node.
    pub fn mark_for_removal(&self, store: &mut Store) {
        self.change(store, |node| {
            node["spec"]["taints"] = json!([{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]);
        });
    }

    /// Its node leaves, and its devices with it.
    pub fn leave(&mut self, until_ms: u64, store: &mut Store) {
        self.back_ms = Some(until_ms);
        store.remove(Kind::Node, &Key::global(&self.name));
        self.withdraw(self.generation, store);
    }

    /// What was wrong with it is not any more.
    pub fn mend(&mut self, store: &mut Store) {
        self.mended_ms = None;
        self.change(store, |node| {
            node["spec"] = json!({});
            node["status"]["allocatable"] = node["status"]["capacity"].clone();
        });
        self.publish(None, store);
    }

    /// Nothing new may go there.
    pub fn close(&mut self, until_ms: u64, store: &mut Store) {
        self.mended_ms = Some(until_ms);
        self.change(store, |node| {
            let taint = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
            node["spec"] = json!({"unschedulable": true, "taints": [taint]});
        });
    }

    /// So many of its GPUs fail.
    pub fn fail(&mut self, gpus: usize, until_ms: u64, store: &mut Store) {
        let Machine::Plugin(all) = self.machine else { return };
        self.mended_ms = Some(until_ms);
        self.change(store, |node| {
            node["status"]["allocatable"]["nvidia.com/gpu"] = json!(all.saturating_sub(gpus).to_string());
        });
    }

    /// Devices are missing until this time.
    pub fn hide(&mut self, gpu: Option<usize>, until_ms: u64, store: &mut Store) {
        if gpu.is_some() {
            self.mended_ms = Some(until_ms);
        }
        self.publish(gpu, store);
    }

    fn change(&self, store: &mut Store, change: impl FnOnce(&mut Value)) {
        // It may have vanished meanwhile.
        let _ = store.update(Kind::Node, &Key::global(&self.name), |node| {
            change(node);
            Ok(())
        });
    }

    /// The driver publishes its devices as the next generation of their pool, and takes the last one back.
    fn publish(&mut self, without: Option<usize>, store: &mut Store) {
        if self.back_ms.is_some() || matches!(self.machine, Machine::Plugin(_)) {
            return;
        }
        self.generation += 1;
        let contents = self.contents(without);
        for (index, content) in contents.iter().enumerate() {
            let pool = json!({"name": self.name, "generation": self.generation, "resourceSliceCount": contents.len()});
            let mut spec = json!({"driver": DRIVER, "nodeName": self.name, "pool": pool});
            if let (Some(spec), Some(content)) = (spec.as_object_mut(), content.as_object()) {
                spec.extend(content.clone());
            }
            let name = format!("{}-{}-{index}", self.name, self.generation);
            store.create(Kind::Slice, json!({"metadata": {"name": name}, "spec": spec})).expect("a new name");
        }
        self.withdraw(self.generation - 1, store);
    }

    /// Takes back all slices up to this generation.
    fn withdraw(&self, generation: u64, store: &mut Store) {
        let is_old = |slice: &Value| {
            text(slice, "/spec/pool/name") == self.name
                && slice["spec"]["pool"]["generation"].as_u64().is_some_and(|it| it <= generation)
        };
        let old: Vec<Key> =
            store.all(Kind::Slice).filter(|(_, slice)| is_old(slice)).map(|(key, _)| key.clone()).collect();
        old.iter().for_each(|key| store.remove(Kind::Slice, key));
    }

    fn contents(&self, without: Option<usize>) -> Vec<Value> {
        match self.machine {
            Machine::Plugin(_) => vec![],
            Machine::Claimed(gpus) => {
                let devices: Vec<Value> = (0..gpus).filter(|gpu| Some(*gpu) != without).map(whole).collect();
                vec![json!({ "devices": devices })]
            }
            Machine::Parted(gpus) => {
                let gpus = || (0..gpus).filter(|gpu| Some(*gpu) != without);
                let sets: Vec<Value> =
                    gpus().map(|gpu| json!({"name": set(gpu), "counters": counters(0, SLICES)})).collect();
                let devices: Vec<Value> = gpus().flat_map(parts).collect();
                vec![json!({ "sharedCounters": sets }), json!({ "devices": devices })]
            }
        }
    }
}

fn set(gpu: usize) -> String {
    format!("gpu-{gpu}-counter-set")
}

fn counters(start: usize, count: usize) -> Value {
    let counters = (start..start + count).map(|slice| (format!("memory-slice-{slice}"), json!({"value": "1"})));
    Value::Object(counters.collect::<Map<_, _>>())
}

fn whole(gpu: usize) -> Value {
    let attributes = json!({"type": {"string": "gpu"}, "productName": {"string": "NVIDIA H100 80GB HBM3"}});
    json!({"name": format!("gpu-{gpu}"), "attributes": attributes, "capacity": {"memory": {"value": "80Gi"}}})
}

/// A GPU as a whole, and all of its parts.
fn parts(gpu: usize) -> Vec<Value> {
    let draw = |start, slices| json!([{"counterSet": set(gpu), "counters": counters(start, slices)}]);
    let mut all = vec![whole(gpu)];
    all[0]["consumesCounters"] = draw(0, SLICES);
    for (name, slices, starts) in PARTS {
        for start in starts {
            let mut part = whole(gpu);
            part["name"] = json!(format!("gpu-{gpu}-mig-{name}-{start}"));
            part["attributes"]["type"] = json!({"string": "mig"});
            part["attributes"]["profile"] =
                json!({"string": name.split('-').next().map(|it| it.replacen('g', "g.", 1))});
            part["capacity"] = json!({"memory": {"value": format!("{}Gi", 10 * slices)}});
            part["consumesCounters"] = draw(*start, slices);
            all.push(part);
        }
    }
    all
}

/// The class of this kind of device.
pub fn class(kind: &str) -> Value {
    let expression = format!("device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'");
    json!({"metadata": {"name": kind}, "spec": {"selectors": [{"cel": {"expression": expression}}]}})
}
