use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use testudo_core::engine::Policy;
use testudo_core::model::catalogue::Catalogue;

use super::super::{PageOptions, Running, start};
use super::*;
use crate::config::Mode;
use crate::extender::metrics::Metrics;
use crate::host::{Bindings, Host};
use crate::k8s::mock::ApiServer;

/// An API server that knows `viewer`, who may get, `stranger`, who may nothing, and the tokens `token-viewer` and so on.
/// Counts how often it is asked.
fn api_server(asked: &Arc<AtomicUsize>) -> ApiServer {
    let asked = Arc::clone(asked);
    ApiServer::new(move |line| {
        asked.fetch_add(1, Ordering::Relaxed);
        let body: Value = serde_json::from_str(line.splitn(3, ' ').nth(2)?).ok()?;
        let answer = if line.contains("/tokenreviews") {
            let token = body["spec"]["token"].as_str()?;
            match token.strip_prefix("token-") {
                Some(user) => json!({"authenticated": true, "user": {"username": user, "groups": ["people"]}}),
                None => json!({"authenticated": false}),
            }
        } else {
            let spec = &body["spec"];
            assert_eq!(spec["nonResourceAttributes"]["path"], PATH, "whatever the request's own path is");
            assert_eq!(spec["groups"], json!(["people"]));
            json!({"allowed": spec["user"] == "viewer" && spec["nonResourceAttributes"]["verb"] == "get"})
        };
        let kind = if line.contains("/tokenreviews") { "TokenReview" } else { "SubjectAccessReview" };
        let api = if kind == "TokenReview" { "authentication.k8s.io/v1" } else { "authorization.k8s.io/v1" };
        Some((
            201,
            json!({"apiVersion": api, "kind": kind, "metadata": {}, "spec": body["spec"], "status": answer})
                .to_string(),
        ))
    })
}

fn page(client: kube::Client, audiences: &[&str]) -> Running {
    let registry = &mut Registry::default();
    let host = Host::new(Policy::default(), Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, registry);
    let audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
    let options = PageOptions {
        bind_address: SocketAddr::from(([127, 0, 0, 1], 0)),
        gatekeeper: Some(Arc::new(Gatekeeper::new(Reviewer::new(client, audiences)))),
        ..PageOptions::default()
    };
    start(Arc::new(host), options, &Metrics::register(&mut Registry::default())).expect("a page")
}

async fn ask(page: &Running, method: Method, path: &str, authorization: Option<&str>) -> u16 {
    let url = format!("http://{}{path}", page.address());
    let client = reqwest::Client::new();
    let request = if method == Method::POST { client.post(url).body("{}") } else { client.get(url) };
    let request = match authorization {
        Some(value) => request.header("authorization", value),
        None => request,
    };
    // Exposed, it is asked for by any name.
    request.header("host", "testudo.example").send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn only_who_may_sees_anything() {
    let asked = Arc::default();
    let page = page(api_server(&asked).client, &[]);
    for path in ["/", "/api/v1alpha1/fleet", "/api/v1alpha1/search?q=a", "/api/v1alpha1/events", "/no-such-file"] {
        assert_eq!(ask(&page, Method::GET, path, None).await, 401, "{path}");
        assert_eq!(ask(&page, Method::GET, path, Some("Basic dmlld2VyOng=")).await, 401, "{path}");
        assert_eq!(asked.load(Ordering::Relaxed), 0, "who shows no token costs the API server nothing");
    }
    assert_eq!(ask(&page, Method::GET, "/", Some("Bearer made-up")).await, 401);
    assert_eq!(ask(&page, Method::GET, "/", Some("Bearer token-stranger")).await, 403);
    assert_eq!(ask(&page, Method::GET, "/api/v1alpha1/fleet", Some("Bearer token-viewer")).await, 200);
    assert_eq!(ask(&page, Method::GET, "/", Some("bearer  token-viewer")).await, 200);
    assert_eq!(ask(&page, Method::POST, "/api/v1alpha1/what-if", Some("Bearer token-viewer")).await, 403, "only get");
    page.stop().await;
}

#[tokio::test]
async fn what_was_said_is_remembered_for_a_while() {
    let asked: Arc<AtomicUsize> = Arc::default();
    let keeper = Gatekeeper::new(Reviewer::new(api_server(&asked).client, vec![]));
    let began = Instant::now();
    let yes = Some(Verdict::Allowed { user: "viewer".into() });
    let no = Some(Verdict::Forbidden { user: "stranger".into() });
    let ask = async |keeper: &Gatekeeper, after| {
        let now = began + after;
        (keeper.verdict("token-viewer", "get", now).await, keeper.verdict("token-stranger", "get", now).await)
    };
    for _ in 0..3 {
        assert_eq!(ask(&keeper, Duration::ZERO).await, (yes.clone(), no.clone()));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 4, "two questions about each");
    assert_eq!(ask(&keeper, NO_HOLDS).await, (yes.clone(), no.clone()));
    assert_eq!(asked.load(Ordering::Relaxed), 6, "a no does not hold as long");
    assert_eq!(ask(&keeper, NO_HOLDS + YES_HOLDS).await, (yes, no));
    assert_eq!(asked.load(Ordering::Relaxed), 10);
}

#[tokio::test]
async fn many_tokens_take_no_memory() {
    let keeper = Gatekeeper::new(Reviewer::new(api_server(&Arc::default()).client, vec![]));
    for at in 0..MAX_KNOWN + 10 {
        assert_eq!(keeper.verdict(&format!("made-up-{at}"), "get", Instant::now()).await, Some(Verdict::Unknown));
    }
    assert!(keeper.known.lock().len() <= MAX_KNOWN);
}

#[tokio::test]
async fn a_token_for_others_is_nobodys() {
    // It is valid, but the API server does not say that it was made for us.
    let keeper = Gatekeeper::new(Reviewer::new(api_server(&Arc::default()).client, vec!["testudo".into()]));
    assert_eq!(keeper.verdict("token-viewer", "get", Instant::now()).await, Some(Verdict::Unknown));
}

#[tokio::test]
async fn nobody_gets_in_while_the_api_server_is_away() {
    let away = ApiServer::new(|_| Some((500, "out of order".into())));
    let page = page(away.client, &[]);
    assert_eq!(ask(&page, Method::GET, "/", Some("Bearer token-viewer")).await, 503);
    page.stop().await;
}
