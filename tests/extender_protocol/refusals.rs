//! Bad input: a clear text in the right place, counted, and nothing else.

use super::*;

/// Verb, body, expected status, what the text must contain, the reason under which it is counted.
const UNREADABLE: [(&str, &str, &str, &str); 14] = [
    ("filter", "", "EOF while parsing a value at line 1 column 0", "invalid_json"),
    ("filter", "{\"Pod\":{}\n,", "EOF while parsing", "invalid_json"),
    ("filter", "{\"Pod\":{},\n \"NodeNames\":[\"a\"]} x", "trailing characters at line 2 column 21", "invalid_json"),
    ("filter", "hello", "expected value at line 1 column 1", "invalid_json"),
    ("filter", "[]", "expected an object with Pod and either Nodes or NodeNames", "wrong_type"),
    ("filter", "null", "expected an object with Pod and either Nodes or NodeNames", "wrong_type"),
    (
        "filter",
        "{\"Pod\":{},\n\"NodeNames\":\"a\"}",
        "expected an array of node names at line 2 column 15",
        "wrong_type",
    ),
    ("filter", r#"{"Pod":{},"NodeNames":[1]}"#, "invalid type: integer `1`", "wrong_type"),
    ("filter", r#"{"Pod":{},"Nodes":[]}"#, "expected a list of nodes: an object with items", "wrong_type"),
    (
        "filter",
        r#"{"Pod":{},"Nodes":{"items":[{},{"status":{"allocatable":{"cpu":true}}}]}}"#,
        "Nodes.items[1] is no Node: invalid type: boolean `true`, expected a quantity",
        "wrong_type",
    ),
    ("prioritize", r#"{"Pod":7,"NodeNames":[]}"#, "invalid type: integer `7`", "wrong_type"),
    ("bind", "[\"p\",\"n\",\"u\",\"x\"]", "invalid type: sequence, expected an object with PodName", "wrong_type"),
    ("bind", r#"{"PodName":{}}"#, "invalid type: map, expected a string at line 1 column 11", "wrong_type"),
    ("preempt", r#"{"Pod":{},"NodeNameToVictims":[]}"#, "invalid type: sequence, expected a map", "wrong_type"),
];

#[tokio::test]
async fn what_cannot_be_read_is_a_400_that_says_where() {
    let served = serve(options());
    for (verb, body, text, reason) in UNREADABLE {
        let series = format!("testudo_extender_bad_requests_total{{reason=\"{reason}\"}}");
        let before = served.metric(&series).await.unwrap_or(0.0);
        let (status, found) = served.post(verb, body).await;
        assert_eq!(status, 400, "{verb} {body}: {found}");
        assert!(found.contains(text), "{verb} {body}: {found}");
        assert_eq!(served.metric(&series).await, Some(before + 1.0), "{verb} {body}");
    }
    assert!(served.fake.bound.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_where_kube_scheduler_shows_it() {
    let served = serve(ServerOptions { max_nodes: 3, ..options() });
    let four = args("p", &["a", "b", "c", "d"]);
    let many = r#"{"Pod":{},"NodeNameToMetaVictims":{"a":null,"b":null,"c":null,"d":null}}"#;
    let form = "exactly one of Nodes and NodeNames must be set, the request has";
    let too_many = "the request names 4 nodes, the limit is 3";
    let table = [
        ("filter", r#"{"Pod":{}}"#, format!("{form} neither"), "form"),
        ("filter", r#"{"Pod":{},"Nodes":null,"NodeNames":null}"#, format!("{form} neither"), "form"),
        ("filter", r#"{"Pod":{},"Nodes":{},"NodeNames":[]}"#, format!("{form} both"), "form"),
        ("prioritize", r#"{"Pod":{},"Nodes":{},"NodeNames":[]}"#, format!("{form} both"), "form"),
        ("preempt", r#"{"Pod":{}}"#, "NodeNameToMetaVictims must be set, the request has neither".into(), "form"),
        (
            "preempt",
            r#"{"Pod":{},"NodeNameToVictims":{},"NodeNameToMetaVictims":{}}"#,
            "NodeNameToMetaVictims must be set, the request has both".into(),
            "form",
        ),
        ("filter", r#"{"Pod":null,"NodeNames":[]}"#, "the request has no Pod".into(), "missing_field"),
        ("prioritize", r#"{"NodeNames":[]}"#, "the request has no Pod".into(), "missing_field"),
        ("preempt", r#"{"NodeNameToVictims":{}}"#, "the request has no Pod".into(), "missing_field"),
        ("bind", "{}", "the request has no PodName".into(), "missing_field"),
        ("bind", r#"{"PodName":"p","PodNamespace":"n","PodUID":null,"Node":"a"}"#, "no PodUID".into(), "missing_field"),
        ("filter", &four, too_many.into(), "too_many_nodes"),
        ("prioritize", &four, too_many.into(), "too_many_nodes"),
        ("preempt", many, too_many.into(), "too_many_nodes"),
        ("filter", r#"{"Pod":{},"Nodes":{"items":[{},{},{},{}]}}"#, too_many.into(), "too_many_nodes"),
    ];
    for (verb, body, text, reason) in table {
        let series = format!("testudo_extender_bad_requests_total{{reason=\"{reason}\"}}");
        let before = served.metric(&series).await.unwrap_or(0.0);
        let (status, found) = served.post(verb, body.to_owned()).await;
        let shown = match verb {
            "filter" | "bind" => {
                assert_eq!(status, 200, "{verb} {body}: {found}");
                json(&found)["Error"].as_str().unwrap().to_owned()
            }
            _ => {
                assert_eq!(status, 400, "{verb} {body}: {found}");
                found
            }
        };
        assert!(shown.contains(&text), "{verb} {body}: {shown}");
        assert_eq!(served.metric(&series).await, Some(before + 1.0), "{verb} {body}");
    }
    assert!(served.fake.bound.lock().unwrap().is_empty());
}

#[tokio::test]
async fn unknown_verbs_and_wrong_methods_are_told_what_there_is() {
    let served = serve(options());
    for path in ["/v1/schedule", "/filter", "/v1/filter/", "/v1", "/", "/v1/Filter"] {
        let answer = served.client.post(served.url(path)).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("POST /v1/filter, POST /v1/prioritize, POST /v1/bind, POST /v1/preempt"), "{text}");
    }
    assert_eq!(served.metric("testudo_extender_bad_requests_total{reason=\"unknown_verb\"}").await, Some(6.0));
    let answer = served.client.get(served.url("/v1/filter")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"POST".parse().unwrap()));
    assert_eq!(served.metric("testudo_extender_bad_requests_total{reason=\"wrong_method\"}").await, Some(1.0));
}

#[tokio::test]
async fn a_refusal_of_the_extender_is_passed_on() {
    let served = serve(options());
    let preempt = |pod: &str| args(pod, &[]).replace("NodeNames", "NodeNameToVictims").replace("[]", "{}");
    let error = "testudo: not this one";
    let (status, found) = served.post("filter", args("refused", &["a"])).await;
    assert_eq!((status, &json(&found)["Error"]), (200, &error.into()));
    assert!(json(&found)["NodeNames"].is_null());
    let (status, found) = served.post("bind", binding("refused")).await;
    assert_eq!((status, json(&found)), (200, serde_json::json!({ "Error": error })));
    assert_eq!(served.post("prioritize", args("refused", &["a"])).await, (500, error.to_owned()));
    assert_eq!(served.post("preempt", preempt("refused")).await, (500, error.to_owned()));

    let unavailable = (503, "testudo: not the leader".to_owned());
    assert_eq!(served.post("filter", args("unavailable", &["a"])).await, unavailable);
    assert_eq!(served.post("prioritize", args("unavailable", &["a"])).await, unavailable);
    assert_eq!(served.post("bind", binding("unavailable")).await, unavailable);
    assert_eq!(served.post("preempt", preempt("unavailable")).await, unavailable);
    assert_eq!(served.metric("testudo_extender_refused_total{verb=\"filter\"}").await, Some(2.0));
    assert_eq!(served.metric("testudo_extender_requests_total{verb=\"bind\",code=\"503\"}").await, Some(1.0));
}

#[tokio::test]
async fn a_panic_costs_one_answer_and_no_worker() {
    let served = serve(options());
    for _ in 0..3 {
        let (status, found) = served.post("filter", args("panics", &["a"])).await;
        assert_eq!(status, 200);
        assert!(json(&found)["Error"].as_str().unwrap().contains("internal error in filter"), "{found}");
        let (status, found) = served.post("prioritize", args("panics", &["a"])).await;
        assert_eq!((status, found.as_str()), (500, "testudo: internal error in prioritize, see its log"));
        let (status, found) = served.post("bind", binding("panics")).await;
        assert_eq!(status, 200);
        assert!(json(&found)["Error"].as_str().unwrap().contains("internal error in bind"), "{found}");
    }
    let (status, found) = served.post("filter", fixture("filter-names")).await;
    assert_eq!((status, found.as_str()), (200, fixture("filter-names.answer").trim_end()));
    assert_eq!(served.metric("testudo_extender_panics_total{verb=\"bind\"}").await, Some(3.0));
    assert_eq!(served.metric("testudo_extender_requests_in_flight").await, Some(0.0));
}

#[test]
fn verdicts_for_other_nodes_than_the_offered_are_not_passed_on() {
    let found = answers().filter(args("short", &["a", "b"]).as_bytes());
    let found = json(&String::from_utf8(found.body).unwrap());
    assert_eq!(found["Error"], "testudo: internal error, 1 verdicts for 2 nodes");
    assert!(found["NodeNames"].is_null());
}

#[test]
fn depth_is_no_way_in() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000));
    let arrays = deep("[", "]");
    let objects = deep("{\"a\":", "}").replace("}}", "1}}").replacen("1}", "}", 1);
    // What is not looked at is passed over without recursion.
    let passed_over =
        answers().filter(format!(r#"{{"x":{arrays},"Pod":{{"y":{arrays}}},"NodeNames":["a"]}}"#).as_bytes());
    assert_eq!(passed_over.status, 200);
    for body in [
        arrays.clone(),
        objects,
        format!(r#"{{"Pod":{{"metadata":{arrays}}},"NodeNames":["a"]}}"#),
        format!(r#"{{"Pod":{{}},"NodeNames":{arrays}}}"#),
        format!(r#"{{"Pod":{{}},"Nodes":{{"items":[{arrays}]}}}}"#),
        "[".repeat(1_000_000),
        "{\"Pod\":".repeat(100_000),
    ] {
        for verb in Verb::ALL {
            let found = answer(&answers(), verb, body.as_bytes());
            let text = String::from_utf8(found.body).unwrap();
            assert!(found.status == 400 || json(&text)["Error"] != "", "{verb} {}: {text}", &body[..40]);
        }
    }
}
