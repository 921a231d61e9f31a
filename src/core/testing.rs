//! Builders for the unit tests of this crate.

use std::sync::Arc;

use crate::model::catalogue::Catalogue;
use crate::model::gang::{Dialect, GangKey, Membership, Terms};
use crate::model::node::{Node, NodeParts};
use crate::model::pod::{Demand, End, Pod, PodKey, Stage};
use crate::model::resources::Resources;
use crate::model::selector::{Labels, NodeAffinity};
use crate::model::taint::{Comparison, Effect, Taint, Toleration};

pub(crate) struct NodeBuilder(NodeParts);

/// A node with 96 CPUs, 1 TiB of memory and room for 110 pods.
pub(crate) fn node(name: &str) -> NodeBuilder {
    let plain = Resources::from([("cpu", 96_000), ("memory", 1 << 40), ("pods", 110)]);
    NodeBuilder(NodeParts {
        name: name.into(),
        labels: Labels::default(),
        taints: vec![],
        cordoned: false,
        capacity: plain.clone(),
        allocatable: plain,
    })
}

impl NodeBuilder {
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0.labels = self.0.labels.iter().chain([(key, value)]).collect();
        self
    }

    pub(crate) fn product(self, product: &str) -> Self {
        self.label("nvidia.com/gpu.product", product)
    }

    pub(crate) fn instance(self, instance_type: &str) -> Self {
        self.label("node.kubernetes.io/instance-type", instance_type)
    }

    pub(crate) fn has(self, resource: &str, count: i64) -> Self {
        self.has_working(resource, count, count)
    }

    pub(crate) fn has_working(mut self, resource: &str, capacity: i64, allocatable: i64) -> Self {
        self.0.capacity.set(resource.into(), capacity);
        self.0.allocatable.set(resource.into(), allocatable);
        self
    }

    pub(crate) fn taint(mut self, key: &str, effect: Effect) -> Self {
        self.0.taints.push(Taint { key: key.into(), value: String::new(), effect });
        self
    }

    pub(crate) fn cordoned(mut self) -> Self {
        self.0.cordoned = true;
        self
    }

    pub(crate) fn build(self) -> Node {
        Node::new(self.0, &Catalogue::builtin()).0
    }
}

#[derive(Clone, Debug)]
pub(crate) struct PodBuilder {
    namespace: String,
    name: String,
    labels: Labels,
    demand: Demand,
    stage: Stage,
    membership: Option<Membership>,
}

/// A pending pod in the namespace `default` that asks for one CPU.
pub(crate) fn pod(name: &str) -> PodBuilder {
    let requests = Resources::from([("cpu", 1000), ("pods", 1)]);
    PodBuilder {
        namespace: "default".into(),
        name: name.into(),
        labels: Labels::default(),
        demand: Demand { requests, ..Demand::default() },
        stage: Stage::Pending,
        membership: None,
    }
}

impl PodBuilder {
    pub(crate) fn namespace(self, namespace: &str) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    pub(crate) fn asks(mut self, resource: &str, count: i64) -> Self {
        self.demand.requests.set(resource.into(), count);
        self
    }

    pub(crate) fn gpus(self, count: i64) -> Self {
        self.asks("nvidia.com/gpu", count)
    }

    pub(crate) fn selects(mut self, key: &str, value: &str) -> Self {
        self.demand.affinity.selector = self.demand.affinity.selector.iter().chain([(key, value)]).collect();
        self
    }

    pub(crate) fn affinity(mut self, affinity: NodeAffinity) -> Self {
        self.demand.affinity = affinity;
        self
    }

    pub(crate) fn tolerates(mut self, key: Option<&str>) -> Self {
        let key = key.map(Into::into);
        self.demand.tolerations.push(Toleration { key, comparison: Comparison::Exists, effect: None });
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.labels = self.labels.iter().chain([(key, value)]).collect();
        self
    }

    pub(crate) fn on(mut self, node: &str) -> Self {
        self.stage = Stage::Bound(node.into());
        self
    }

    pub(crate) fn finished(mut self) -> Self {
        self.stage = Stage::Finished(End::Succeeded);
        self
    }

    pub(crate) fn member_of(mut self, gang: &str, role: &str, index: u32, terms: Terms) -> Self {
        let key = GangKey { namespace: self.namespace.clone(), name: gang.into(), dialect: Dialect::Testudo };
        let (role, index) = (role.into(), Some(index));
        self.membership = Some(Membership {
            gang: key,
            also: vec![],
            role,
            part: None,
            index,
            staged: false,
            controller: None,
            terms,
            relations: vec![],
            exclusivity: None,
        });
        self
    }

    pub(crate) fn demand(self) -> Demand {
        self.demand
    }

    pub(crate) fn build(self) -> Pod {
        let key = PodKey { namespace: self.namespace, name: self.name.clone() };
        let uid = format!("uid-{}", self.name).as_str().into();
        let membership = self.membership.map(Arc::new);
        Pod { labels: self.labels, stage: self.stage, membership, ..Pod::new(key, uid, self.demand) }
    }
}
