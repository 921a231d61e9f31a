//! Reference requests and answers, both forms, any case, `null` everywhere.

use super::*;

const EXCHANGES: [(Verb, &str); 7] = [
    (Verb::Filter, "filter-names"),
    (Verb::Filter, "filter-nodes"),
    (Verb::Prioritize, "prioritize-names"),
    (Verb::Prioritize, "prioritize-nodes"),
    (Verb::Bind, "bind"),
    (Verb::Preempt, "preempt-victims"),
    (Verb::Preempt, "preempt-meta-victims"),
];

#[tokio::test]
async fn reference_requests_get_the_reference_answers() {
    let served = serve(options());
    for (verb, name) in EXCHANGES {
        let (status, body) = served.post(verb.as_str(), fixture(name)).await;
        assert_eq!(status, 200, "{name}: {body}");
        assert_eq!(body, fixture(&format!("{name}.answer")).trim_end(), "{name}");
    }
    let bound = served.fake.bound.lock().unwrap();
    let [Binding { pod_name, pod_namespace, pod_uid, node }] = &bound[..] else { panic!("{bound:?}") };
    assert_eq!(
        [pod_name, pod_namespace, pod_uid, node],
        ["llm-0", "serving", "7f6a1f0e-3c55-4e0f-9d0c-2f0c9b3c7a11", "gpu-a"]
    );
}

/// Keys of the extender's own types; those of Kubernetes objects have one spelling.
const KEYS: [&str; 12] = [
    "Pod",
    "Nodes",
    "NodeNames",
    "PodName",
    "PodNamespace",
    "PodUID",
    "Node",
    "NodeNameToVictims",
    "NodeNameToMetaVictims",
    "Pods",
    "UID",
    "NumPDBViolations",
];

#[test]
fn keys_are_read_in_other_cases() {
    let camel = |key: &str| format!("{}{}", key[..1].to_lowercase(), &key[1..]);
    let cases: [&dyn Fn(&str) -> String; 3] = [&|key| key.to_lowercase(), &|key| key.to_uppercase(), &camel];
    for (verb, name) in EXCHANGES {
        for change in cases {
            let body = KEYS.iter().fold(fixture(name), |body, key| {
                body.replace(&format!("\"{key}\":"), &format!("\"{}\":", change(key)))
            });
            assert!(body.contains(&change("Pod")) || verb == Verb::Bind && body.contains(&change("PodUID")), "{body}");
            let found = answer(&answers(), verb, body.as_bytes());
            let expected = json(&fixture(&format!("{name}.answer")));
            assert_eq!(json(&String::from_utf8(found.body).unwrap()), expected, "{body}");
        }
    }
}

#[test]
fn null_is_absent_wherever_it_stands() {
    let tables = [
        (Verb::Filter, r#"{"Pod":{"metadata":null,"spec":null,"status":null},"Nodes":null,"NodeNames":["a",null]}"#),
        (Verb::Filter, r#"{"Pod":{},"Nodes":{"metadata":null,"items":null},"NodeNames":null}"#),
        (Verb::Filter, r#"{"Pod":{},"Nodes":{"items":[null,{"metadata":null,"spec":null,"status":null}]}}"#),
        (Verb::Filter, r#"{"Pod":{"spec":{"containers":[{"resources":null}],"affinity":null}},"NodeNames":[]}"#),
        (Verb::Prioritize, r#"{"Pod":{},"NodeNames":[]}"#),
        (Verb::Preempt, r#"{"Pod":{},"NodeNameToVictims":{"a":null,"b":{"Pods":null,"NumPDBViolations":null}}}"#),
        (Verb::Preempt, r#"{"Pod":{},"NodeNameToVictims":{"a":{"Pods":[null,{"metadata":null}]}}}"#),
        (Verb::Preempt, r#"{"Pod":{},"NodeNameToMetaVictims":{"a":{"Pods":[null,{"UID":null}]}}}"#),
    ];
    for (verb, body) in tables {
        let found = answer(&answers(), verb, body.as_bytes());
        let text = String::from_utf8(found.body).unwrap();
        assert_eq!(found.status, 200, "{body}: {text}");
        assert!(json(&text).get("Error").is_none_or(|error| error == ""), "{body}: {text}");
    }
}

#[test]
fn nothing_offered_gives_nothing_in_the_same_form() {
    let filter = |body: &str| String::from_utf8(answers().filter(body.as_bytes()).body).unwrap();
    let rest = r#""FailedNodes":{},"FailedAndUnresolvableNodes":{},"Error":"""#;
    assert_eq!(filter(r#"{"Pod":{},"NodeNames":[]}"#), format!(r#"{{"Nodes":null,"NodeNames":[],{rest}}}"#));
    assert_eq!(
        filter(r#"{"Pod":{},"Nodes":{}}"#),
        format!(r#"{{"Nodes":{{"metadata":{{}},"items":[]}},"NodeNames":null,{rest}}}"#)
    );
}

#[test]
fn a_node_offered_twice_is_answered_once() {
    let found = answers().filter(args("p", &["gpu-a", "full-b", "gpu-a", "gpu-c", "full-b"]).as_bytes());
    let found = json(&String::from_utf8(found.body).unwrap());
    assert_eq!(found["NodeNames"], serde_json::json!(["gpu-a", "gpu-c"]));
    assert_eq!(found["FailedNodes"], serde_json::json!({"full-b": "no free GPU"}));

    let twice = r#"{"Pod":{},"Nodes":{"items":[{"metadata":{"name":"a"},"n":1},{"metadata":{"name":"a"},"n":2}]}}"#;
    let found = json(&String::from_utf8(answers().filter(twice.as_bytes()).body).unwrap());
    assert_eq!(found["Nodes"]["items"], serde_json::json!([{"metadata": {"name": "a"}, "n": 1}]));
}

#[test]
fn names_with_escapes_come_back_as_the_same_names() {
    let found = answers().filter(r#"{"Pod":{},"NodeNames":["g\u0070u-\"a","ü"]}"#.as_bytes());
    assert_eq!(json(&String::from_utf8(found.body).unwrap())["NodeNames"], serde_json::json!(["gpu-\"a", "ü"]));
}

#[test]
fn of_equal_keys_the_last_counts_as_in_go() {
    let found = answers().filter(br#"{"NodeNames":["gpu-a"],"Pod":{},"nodenames":["gpu-b"]}"#);
    assert_eq!(json(&String::from_utf8(found.body).unwrap())["NodeNames"], serde_json::json!(["gpu-b"]));
    let body = br#"{"PodName":"p","PodNamespace":"n","PodUID":"u","Node":"a","node":"b"}"#;
    assert_eq!(answers().binding(body).unwrap().node, "b");
}

#[test]
fn scores_stay_within_the_scale() {
    let found = answers().prioritize(args("eager", &["gpu-a"]).as_bytes());
    assert_eq!(found.body, br#"[{"Host":"gpu-a","Score":10}]"#);
}
