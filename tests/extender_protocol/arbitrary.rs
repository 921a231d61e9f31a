//! Whatever comes, there is an answer, and it is one of the answers that there may be.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const KEYS: [&str; 22] = [
    "Pod",
    "pod",
    "Nodes",
    "nodes",
    "NodeNames",
    "nodeNames",
    "PodName",
    "PodNamespace",
    "PodUID",
    "Node",
    "NodeNameToVictims",
    "NodeNameToMetaVictims",
    "Pods",
    "UID",
    "NumPDBViolations",
    "metadata",
    "name",
    "uid",
    "items",
    "spec",
    "status",
    "allocatable",
];

/// JSON made of the words of the protocol, mostly in the wrong places.
fn jsonish() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z\"\\\\\u{1f}ü]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        let key = prop::sample::select(&KEYS[..]).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// A reference request with a part cut out and bytes put in its place.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let names = ["filter-names", "filter-nodes", "bind", "preempt-victims", "preempt-meta-victims"];
    let name = prop::sample::select(names.to_vec());
    (name, any::<prop::sample::Index>(), 0..40_usize, prop::collection::vec(any::<u8>(), 0..4)).prop_map(
        |(name, at, cut, put)| {
            let mut body = fixture(name).into_bytes();
            let from = at.index(body.len());
            let to = (from + cut).min(body.len());
            body.splice(from..to, put);
            body
        },
    )
}

/// A fitting answer: JSON of the verb's shape, or a 4xx with a text.
fn check(verb: Verb, body: &[u8]) {
    let answers = Answers {
        extender: Arc::new(testudo::extender::Null),
        max_nodes: 3,
        metrics: Metrics::register(&mut Registry::default()),
    };
    let found = match verb {
        Verb::Filter => answers.filter(body),
        Verb::Prioritize => answers.prioritize(body),
        Verb::Preempt => answers.preempt(body),
        Verb::Bind => answers.binding(body).map_or_else(|answer| answer, |_| answers.bound(Ok(()))),
    };
    let text = String::from_utf8(found.body).unwrap();
    assert_eq!(found.json, found.status == 200);
    if !found.json {
        assert_eq!(found.status, 400, "{text}");
        assert!(text.starts_with("testudo: "), "{text}");
        return;
    }
    let found = json(&text);
    match verb {
        Verb::Filter => assert!(found["Nodes"].is_null() || found["NodeNames"].is_null()),
        Verb::Prioritize => assert!(found.is_array()),
        Verb::Bind => assert!(found["Error"].is_string()),
        Verb::Preempt => assert!(found["NodeNameToMetaVictims"].is_object()),
    }
    assert!(!text.contains("internal error"), "{text}");
}

proptest! {
    #[test]
    fn any_json_is_answered(value in jsonish()) {
        let body = value.to_string();
        for verb in Verb::ALL {
            check(verb, body.as_bytes());
        }
    }

    #[test]
    fn any_object_is_answered(entries in prop::collection::btree_map(prop::sample::select(&KEYS[..]), jsonish(), 0..6)) {
        let body = serde_json::to_vec(&entries).unwrap();
        for verb in Verb::ALL {
            check(verb, &body);
        }
    }

    #[test]
    fn any_damage_is_answered(body in damaged()) {
        for verb in Verb::ALL {
            check(verb, &body);
        }
    }

    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for verb in Verb::ALL {
            check(verb, &body);
        }
    }

    /// Every offered node has one verdict; the fitting ones come back once each, in the order of the offer.
    #[test]
    fn the_answer_is_the_offer_sorted_into_three(
        offered in prop::collection::vec("(gpu|full|never)-[a-c\"]{0,2}", 0..30),
        whole in any::<bool>(),
    ) {
        let mut distinct: Vec<String> = Vec::new();
        for name in &offered {
            if !distinct.contains(name) {
                distinct.push(name.clone());
            }
        }
        let nodes: Vec<_> = offered.iter().map(|name| serde_json::json!({"metadata": {"name": name}})).collect();
        let body = if whole {
            serde_json::json!({"Pod": {}, "Nodes": {"items": nodes}})
        } else {
            serde_json::json!({"Pod": {}, "NodeNames": offered})
        };
        let found = answers().filter(body.to_string().as_bytes());
        let found = json(&String::from_utf8(found.body).unwrap());
        prop_assert_eq!(found["Nodes"].is_null(), !whole);
        prop_assert_eq!(found["NodeNames"].is_null(), whole);
        let fitting: Vec<&str> = if whole {
            found["Nodes"]["items"].as_array().unwrap().iter().map(|n| n["metadata"]["name"].as_str().unwrap()).collect()
        } else {
            found["NodeNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
        };
        let of_kind = |kind: &str| distinct.iter().filter(|name| name.starts_with(kind)).cloned().collect::<Vec<_>>();
        prop_assert_eq!(fitting, of_kind("gpu"));
        for (key, kind) in [("FailedNodes", "full"), ("FailedAndUnresolvableNodes", "never")] {
            let mut expected = of_kind(kind);
            expected.sort();
            prop_assert_eq!(found[key].as_object().unwrap().keys().cloned().collect::<Vec<_>>(), expected);
        }
    }
}
