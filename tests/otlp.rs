//! `testudo serve` sends traces to a collector: a span for each call and each plan, with pod and gang. Log lines have the same
//! fields.

mod serving;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use serving::until;

const CLUSTER: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: gpu-1, labels: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}}
status:
  capacity: &all {nvidia.com/gpu: "8", cpu: "192", memory: 2Ti, pods: "110"}
  allocatable: *all
---
apiVersion: v1
kind: Pod
metadata:
  name: rank-0
  namespace: team
  uid: rank-0
  annotations: {testudo.dev/pod-group: llama, testudo.dev/min-member: "2"}
spec:
  schedulerName: testudo-scheduler
  containers: [{name: main, resources: {requests: {nvidia.com/gpu: "4"}}}]
---
apiVersion: v1
kind: Pod
metadata:
  name: rank-1
  namespace: team
  uid: rank-1
  annotations: {testudo.dev/pod-group: llama, testudo.dev/min-member: "2"}
spec:
  schedulerName: testudo-scheduler
  containers: [{name: main, resources: {requests: {nvidia.com/gpu: "4"}}}]
"#;

/// A collector: says OK to whatever comes, and hands it on.
fn collector() -> (String, Receiver<(String, ExportTraceServiceRequest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let (connection, sender) = (connection.unwrap(), sender.clone());
            thread::spawn(move || serve(connection, &sender));
        }
    });
    (address, receiver)
}

fn serve(connection: TcpStream, sender: &Sender<(String, ExportTraceServiceRequest)>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut writer = connection;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok();
        let mut body = vec![0; head.lines().find_map(length).expect("a length")];
        reader.read_exact(&mut body).unwrap();
        let path = head.lines().next().unwrap_or_default().to_owned();
        let _ = sender.send((path, ExportTraceServiceRequest::decode(body.as_slice()).expect("protobuf of a trace")));
        writer
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
    }
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        AnyValue::StringValue(text) => Some(text),
        _ => None,
    }
}

#[test]
fn calls_and_plans_are_traced_with_pod_and_gang() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("otlp");
    let (collector, traces) = collector();
    let tracing = json!({"tracing": {"endpoint": format!("http://{collector}/")}});
    let (mut server, logs) = serving::start(&folder, CLUSTER, tracing);
    let url = format!("http://{}/v1", serving::address(&logs));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let planned = until("the gang to be planned", &logs, |line| line["message"] == "2 members have a place");
    assert_eq!(planned["gang"], "team/llama");

    let client = reqwest::Client::new();
    let post = async |verb: &str, body: Value| -> Value {
        let answer = client.post(format!("{url}/{verb}")).json(&body).send().await.unwrap();
        answer.json().await.unwrap()
    };
    let pod = json!({
        "metadata": {
            "name": "rank-0", "namespace": "team", "uid": "rank-0",
            "annotations": {"testudo.dev/pod-group": "llama", "testudo.dev/min-member": "2"},
        },
        "spec": {
            "schedulerName": "testudo-scheduler",
            "containers": [{"name": "main", "resources": {"requests": {"nvidia.com/gpu": "4"}}}],
        },
    });
    let binding = |name: &str| json!({"PodName": name, "PodNamespace": "team", "PodUID": name, "Node": "gpu-1"});
    let (filtered, first, second) = runtime.block_on(async {
        let filtered = post("filter", json!({"Pod": pod, "NodeNames": ["gpu-1"]})).await;
        let (first, second) = tokio::join!(post("bind", binding("rank-0")), post("bind", binding("rank-1")));
        (filtered, first, second)
    });
    assert_eq!(filtered["NodeNames"], json!(["gpu-1"]), "{filtered}");
    assert!(first["Error"].as_str().unwrap_or_default().is_empty(), "{first}");
    assert!(second["Error"].as_str().unwrap_or_default().is_empty(), "{second}");
    let bound = until("a binding in the log", &logs, |line| line["message"] == "bound");
    assert_eq!((&bound["gang"], &bound["node"]), (&json!("team/llama"), &json!("gpu-1")), "{bound}");
    assert!(bound["pod"].as_str().unwrap().starts_with("team/rank-"), "{bound}");

    // What is not sent yet is sent at the end.
    let ended = Command::new("kill").arg(server.0.id().to_string()).status().unwrap();
    assert!(ended.success());
    assert!(server.0.wait().unwrap().success());
    let mut spans: Vec<Span> = vec![];
    for (path, request) in traces.try_iter() {
        assert_eq!(path, "POST /v1/traces HTTP/1.1");
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.unwrap();
            assert_eq!(attribute(&resource.attributes, "service.name"), Some("testudo"));
            spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    let named = |name: &str| -> Vec<&Span> { spans.iter().filter(|span| span.name == name).collect() };
    let has = |span: &Span, key: &str, value: &str| {
        assert_eq!(attribute(&span.attributes, key), Some(value), "{}: {:?}", span.name, span.attributes);
    };
    let [filter] = named("filter")[..] else { panic!("one span for the call: {spans:?}") };
    has(filter, "pod", "team/rank-0");
    has(filter, "gang", "team/llama");
    let [plan] = named("plan")[..] else { panic!("one span for the plan: {spans:?}") };
    has(plan, "gang", "team/llama");
    has(plan, "outcome", "places");
    let binds = named("bind");
    assert_eq!(binds.len(), 2, "{spans:?}");
    for bind in binds {
        has(bind, "gang", "team/llama");
        assert!(attribute(&bind.attributes, "pod").unwrap().starts_with("team/rank-"));
        let barrier = spans.iter().find(|span| span.name == "barrier" && span.parent_span_id == bind.span_id);
        assert!(barrier.is_some(), "how long it waited for the others is part of it: {spans:?}");
    }
}
