use actix_web::App;
use actix_web::body::to_bytes;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service};
use serde_json::Value;

use super::super::publisher::Publisher;
use super::super::server::PageOptions;
use super::super::view::testing::{Fleet, gpus};
use super::super::{guard, what_if};
use super::*;

/// Status, headers as text, and body of the answer of a server with two nodes to a request.
async fn ask(request: TestRequest) -> (StatusCode, String, Vec<u8>) {
    ask_with_turns(1, request).await
}

/// The same, where so many questions that take long may be asked now.
async fn ask_with_turns(turns: usize, request: TestRequest) -> (StatusCode, String, Vec<u8>) {
    let fleet = Fleet::of(2);
    fleet.run(gpus("p", 8), "node-1");
    let shared = Data::new(Shared {
        host: Arc::clone(&fleet.host),
        publisher: Arc::new(Publisher::new(Arc::clone(&fleet.host), "test", None)),
        options: PageOptions::default(),
        long_questions: tokio::sync::Semaphore::new(turns),
    });
    let app = App::new().app_data(shared).wrap(from_fn(guard::own_pages_only)).wrap(guard::headers()).configure(routes);
    let answer = call_service(&init_service(app).await, request.to_request()).await;
    let (status, headers) = (answer.status(), format!("{:?}", answer.headers()));
    (status, headers, to_bytes(answer.into_body()).await.expect("a body").to_vec())
}

fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path).insert_header(("host", "127.0.0.1:8890"))
}

#[actix_web::test]
async fn the_page_comes_with_its_policy_and_is_asked_for_once() {
    let (status, headers, body) = ask(get("/")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.starts_with(b"<!doctype html>"));
    for expected in ["default-src 'none'", "nosniff", "no-referrer", "no-cache"] {
        assert!(headers.contains(expected), "{expected}: {headers}");
    }
    let tag = asset("index.html").expect("a page").etag.as_str();
    let (status, _, body) = ask(get("/").insert_header(("if-none-match", tag))).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(ask(get("/js/main.js").insert_header(("accept-encoding", "gzip"))).await.2[..2], [0x1f, 0x8b]);
    assert_eq!(ask(get("/../Cargo.toml")).await.0, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn only_the_page_itself_may_ask() {
    let strange = TestRequest::get().uri("/api/v1alpha1/fleet").insert_header(("host", "evil.example:8890"));
    assert_eq!(ask(strange).await.0, StatusCode::FORBIDDEN);
    let cross = get("/api/v1alpha1/fleet").insert_header(("sec-fetch-site", "cross-site"));
    let (status, headers, _) = ask(cross).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(headers.contains("default-src 'none'"), "refusals have the policy, too");
    let followed =
        get("/").insert_header(("sec-fetch-site", "cross-site")).insert_header(("sec-fetch-mode", "navigate"));
    assert_eq!(ask(followed).await.0, StatusCode::OK, "a link may lead here");
}

#[actix_web::test]
async fn questions_are_answered_or_refused_with_words() {
    let json = async |path: &str| -> Value { serde_json::from_slice(&ask(get(path)).await.2).expect("JSON") };
    let node = json("/api/v1alpha1/nodes/node-1").await;
    assert_eq!(node["holders"][0]["name"], "p");
    assert_eq!(node["pools"][0]["free"], 0);
    let pod = json("/api/v1alpha1/pods/team/p").await;
    assert_eq!((&pod["boundTo"], &pod["fitting"]), (&"node-1".into(), &2.into()));
    for (path, words) in
        [("nodes/x", "no node x"), ("pods/team/x", "no pod team/x"), ("gangs/team/x", "no gang team/x")]
    {
        let (status, _, body) = ask(get(&format!("/api/v1alpha1/{path}"))).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(String::from_utf8_lossy(&body).contains(words), "{path}");
    }
}

#[actix_web::test]
async fn a_manifest_that_is_too_long_is_not_read() {
    let post = |body: Vec<u8>| {
        let request = TestRequest::post().uri("/api/v1alpha1/what-if").insert_header(("host", "localhost"));
        ask(request.set_payload(body))
    };
    assert_eq!(post(vec![b' '; what_if::MAX_TEXT_BYTES + 1]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(post(b"kind: [".to_vec()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ask(get("/api/v1alpha1/what-if")).await.0, StatusCode::NOT_FOUND, "it is no question for GET");
}

#[actix_web::test]
async fn what_takes_long_is_worked_out_for_one_at_a_time() {
    let questions = || {
        let manifest = TestRequest::post().uri("/api/v1alpha1/what-if").insert_header(("host", "localhost"));
        let room = get("/api/v1alpha1/room/team/g");
        [manifest.set_payload("kind: Pod"), room]
    };
    for question in questions() {
        assert_eq!(ask_with_turns(0, question).await.0, StatusCode::TOO_MANY_REQUESTS);
    }
    for question in questions() {
        assert_ne!(ask(question).await.0, StatusCode::TOO_MANY_REQUESTS);
    }
}
