//! What is taken of objects of `resource.k8s.io`. Opaque parameters of drivers are not: only how many there are counts.

use super::fields::Taken::{
    self, ByFeature, Device, Feature, Fields, Key, List, Name, Of, Path, Program, ValueOfFeature, Version, Word,
};
use super::fields::{METADATA, NODE_SELECTOR, TAINT};

pub(super) const API_GROUP: &str = "resource.k8s.io";

const SELECTOR: Taken = Fields(&[("cel", Fields(&[("expression", Program)]))]);

pub(super) const DEVICE_CLASS: &[(&str, Taken)] = &[
    ("metadata", METADATA),
    ("spec", Fields(&[("selectors", List(&SELECTOR)), ("config", List(&Fields(&[]))), ("extendedResourceName", Key)])),
];

const COUNTERS: Taken = ByFeature(&Fields(&[("value", Word)]));

const ATTRIBUTE: Taken = Fields(&[
    ("int", Word),
    ("bool", Word),
    ("string", ValueOfFeature),
    ("version", Version),
    ("ints", Word),
    ("bools", Word),
    ("strings", ValueOfFeature),
    ("versions", Version),
]);

const CAPACITY: Taken = Fields(&[
    ("value", Word),
    (
        "requestPolicy",
        Fields(&[
            ("default", Word),
            ("validValues", Word),
            ("validRange", Fields(&[("min", Word), ("max", Word), ("step", Word)])),
        ]),
    ),
]);

const DEVICE: Taken = Fields(&[
    ("name", Device),
    ("attributes", ByFeature(&ATTRIBUTE)),
    ("capacity", ByFeature(&CAPACITY)),
    ("consumesCounters", List(&Fields(&[("counterSet", Name), ("counters", Of(&COUNTERS))]))),
    ("nodeName", Name),
    ("nodeSelector", Of(&NODE_SELECTOR)),
    ("allNodes", Word),
    ("taints", List(&TAINT)),
    ("bindsToNode", Word),
    ("bindingConditions", Key),
    ("bindingFailureConditions", Key),
    ("allowMultipleAllocations", Word),
]);

pub(super) const RESOURCE_SLICE: &[(&str, Taken)] = &[
    ("metadata", METADATA),
    (
        "spec",
        Fields(&[
            ("driver", Key),
            ("pool", Fields(&[("name", Name), ("generation", Word), ("resourceSliceCount", Word)])),
            ("nodeName", Name),
            ("nodeSelector", Of(&NODE_SELECTOR)),
            ("allNodes", Word),
            ("devices", List(&DEVICE)),
            ("perDeviceNodeSelection", Word),
            ("sharedCounters", List(&Fields(&[("name", Name), ("counters", Of(&COUNTERS))]))),
        ]),
    ),
];

const ASK: &[(&str, Taken)] = &[
    ("name", Name),
    ("deviceClassName", Name),
    ("selectors", List(&SELECTOR)),
    ("allocationMode", Word),
    ("count", Word),
    ("adminAccess", Word),
    ("tolerations", List(&TAINT)),
    ("capacity", Fields(&[("requests", ByFeature(&Word))])),
];

const REQUEST: Taken = Fields(&[("name", Name), ("exactly", Fields(ASK)), ("firstAvailable", List(&Fields(ASK)))]);

const CONSTRAINT: Taken = Fields(&[("requests", Path), ("matchAttribute", Feature), ("distinctAttribute", Feature)]);

const RESULT: Taken = Fields(&[
    ("request", Path),
    ("driver", Key),
    ("pool", Name),
    ("device", Device),
    ("adminAccess", Word),
    ("shareID", Name),
    ("consumedCapacity", ByFeature(&Word)),
]);

const CONSUMER: Taken = Fields(&[("apiGroup", Word), ("resource", Word), ("name", Name), ("uid", Name)]);

const CLAIM_SPEC: Taken = Fields(&[(
    "devices",
    Fields(&[
        ("requests", List(&REQUEST)),
        ("constraints", List(&CONSTRAINT)),
        ("config", List(&Fields(&[("requests", Path)]))),
    ]),
)]);

pub(super) const RESOURCE_CLAIM_TEMPLATE: &[(&str, Taken)] =
    &[("metadata", METADATA), ("spec", Fields(&[("spec", Of(&CLAIM_SPEC))]))];

pub(super) const RESOURCE_CLAIM: &[(&str, Taken)] = &[
    ("metadata", METADATA),
    ("spec", Of(&CLAIM_SPEC)),
    (
        "status",
        Fields(&[
            (
                "allocation",
                Fields(&[("devices", Fields(&[("results", List(&RESULT))])), ("nodeSelector", Of(&NODE_SELECTOR))]),
            ),
            ("reservedFor", List(&CONSUMER)),
        ]),
    ),
];
