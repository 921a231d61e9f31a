//! Binds that take time, health, metrics, and the end.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;

/// Waits until it holds.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not come true within 5 s");
}

#[tokio::test]
async fn binds_wait_beside_each_other_and_beside_filters() {
    let served = serve(options());
    let waiting = (0..20).map(|_| served.post("bind", binding("waits")));
    let release = async {
        until(async || served.metric("testudo_extender_requests_in_flight").await == Some(20.0)).await;
        assert_eq!(served.post("filter", args("p", &["a"])).await.0, 200);
        served.fake.permits.add_permits(20);
    };
    let (answers, ()) = tokio::join!(futures::future::join_all(waiting), release);
    assert!(answers.iter().all(|answer| *answer == (200, r#"{"Error":""}"#.to_owned())), "{answers:?}");
    assert_eq!(served.fake.bound.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn a_bind_has_a_limit_of_its_own() {
    let served = serve(ServerOptions {
        bind_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_secs(100),
        ..options()
    });
    let (status, found) = served.post("bind", binding("waits")).await;
    assert_eq!((status, json(&found)), (200, serde_json::json!({ "Error": "testudo: not bound within 300ms" })));
    served.fake.permits.add_permits(1);
    assert_eq!(served.fake.permits.available_permits(), 1, "the bind goes on after its limit");
}

#[tokio::test]
async fn a_bind_goes_on_when_the_caller_hangs_up() {
    let served = serve(options());
    let mut stream = TcpStream::connect(served.running.address()).await.unwrap();
    let body = binding("waits");
    let head = format!("POST /v1/bind HTTP/1.1\r\nHost: testudo\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    until(async || served.metric("testudo_extender_requests_in_flight").await == Some(1.0)).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    let hung_up = "testudo_extender_requests_total{verb=\"bind\",code=\"499\"}";
    until(async || served.metric(hung_up).await == Some(1.0)).await;
    served.fake.permits.add_permits(1);
    until(async || !served.fake.bound.lock().unwrap().is_empty()).await;
}

#[tokio::test]
async fn a_graceful_stop_answers_what_is_there_and_listens_no_more() {
    let Served { running, fake, client } = serve(options());
    let url = format!("http://{}", running.address());
    let bind = tokio::spawn(client.post(format!("{url}/v1/bind")).body(binding("waits")).send());
    let metrics = || async { client.get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap() };
    until(async || value(&metrics().await, "testudo_extender_requests_in_flight") == Some(1.0)).await;
    let stopped = tokio::spawn(running.stop(true));
    let fresh = || reqwest::Client::new().get(format!("{url}/livez")).timeout(Duration::from_secs(1)).send();
    until(async || fresh().await.is_err()).await;
    assert!(!stopped.is_finished());
    fake.permits.add_permits(1);
    assert_eq!(bind.await.unwrap().unwrap().text().await.unwrap(), r#"{"Error":""}"#);
    tokio::time::timeout(Duration::from_secs(10), stopped).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_without_grace_does_not_wait() {
    let served = serve(options());
    let url = served.url("/v1/bind");
    let bind = tokio::spawn(served.client.post(url).body(binding("waits")).send());
    until(async || served.metric("testudo_extender_requests_in_flight").await == Some(1.0)).await;
    tokio::time::timeout(Duration::from_secs(5), served.running.stop(false)).await.unwrap();
    assert!(bind.await.unwrap().is_err());
}

#[tokio::test]
async fn health_says_why() {
    let served = serve(options());
    assert_eq!(served.get("/livez").await, (200, "ok".to_owned()));
    assert_eq!(served.get("/readyz").await, (200, "ok".to_owned()));
    assert_eq!(served.get("/readyz?verbose").await, (200, "[+]extender ok\nreadyz check passed\n".to_owned()));
    *served.fake.not_ready.lock().unwrap() = Some("nodes are not synced".into());
    assert_eq!(served.get("/livez").await.0, 200);
    assert_eq!(served.get("/readyz").await, (503, "nodes are not synced".to_owned()));
    let verbose = "[-]extender failed: nodes are not synced\nreadyz check failed\n";
    assert_eq!(served.get("/readyz?verbose").await, (503, verbose.to_owned()));
}

#[tokio::test]
async fn metrics_can_have_an_address_of_their_own() {
    let served = serve(ServerOptions { metrics_bind_address: Some(([127, 0, 0, 1], 0).into()), ..options() });
    assert_eq!(served.post("filter", args("p", &["a", "b"])).await.0, 200);
    assert_eq!(served.get("/metrics").await.0, 404);
    assert_eq!(served.get("/readyz").await.0, 200);
    let side = format!("http://{}", served.running.metrics_address().unwrap());
    let get = |path: &str| served.client.get(format!("{side}{path}")).send();
    assert_eq!(get("/livez").await.unwrap().status(), 200);
    assert_eq!(get("/readyz").await.unwrap().status(), 200);
    assert_eq!(get("/v1/filter").await.unwrap().status(), 404);
    let answer = get("/metrics").await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text().await.unwrap();
    for (series, expected) in [
        ("testudo_extender_requests_total{verb=\"filter\",code=\"200\"}", 1.0),
        ("testudo_extender_request_duration_seconds_count{verb=\"filter\"}", 1.0),
        ("testudo_extender_request_duration_seconds_bucket{le=\"10.0\",verb=\"filter\"}", 1.0),
        ("testudo_extender_nodes_offered_sum", 2.0),
        ("testudo_extender_requests_in_flight", 0.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in {text}");
    }
    served.running.stop(true).await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let served = serve(options());
    let taken = ServerOptions { bind_address: served.running.address(), ..options() };
    let metrics = Metrics::register(&mut Registry::default());
    let error = start(Arc::new(Fake::default()), taken, metrics, Arc::default()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}", served.running.address())), "{error}");
}

#[tokio::test]
async fn who_cannot_answer_closes_the_connection() {
    let served = serve(options());
    let ask =
        async |pod: &str| served.client.post(served.url("/v1/filter")).body(args(pod, &["a"])).send().await.unwrap();
    let answer = ask("unavailable").await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["connection"]), (503, &"close".parse().unwrap()));
    assert_eq!(answer.text().await.unwrap(), "testudo: not the leader");
    assert!(!ask("p").await.headers().contains_key("connection"), "others are kept");
}
