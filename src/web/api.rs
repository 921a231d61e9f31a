//! What is served where: the page's files, what it shows, and answers to questions.

use std::sync::Arc;

use actix_web::error::BlockingError;
use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ContentType, ETAG, HeaderMap, IF_NONE_MATCH, VARY,
};
use actix_web::web::{Bytes, Data, Path, Payload, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, web};
use futures::StreamExt;
use futures::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use testudo_core::claims::ClaimKey;
use tokio::sync::broadcast::error::RecvError;

use super::assets::{Asset, asset};
use super::authentication::STREAM_LASTS;
use super::publisher::Listener;
use super::search::search;
use super::server::Shared;
use super::stream::{Event, GZIP_HEADER};
use super::view::claims::ClaimDetail;
use super::view::gang::GangDetail;
use super::view::node::NodeDetail;
use super::view::pod::PodDetail;
use super::what_if::{self, MAX_TEXT_BYTES};

/// What the page asks. It may change with every version.
const API: &str = "/api/v1alpha1";

pub(super) fn routes(config: &mut ServiceConfig) {
    let api = web::scope(API)
        .route("/fleet", web::get().to(fleet))
        .route("/events", web::get().to(events))
        .route("/search", web::get().to(find))
        .route("/nodes/{name}", web::get().to(node))
        .route("/pods/{namespace}/{name}", web::get().to(pod))
        .route("/claims/{namespace}/{name}", web::get().to(claim))
        .route("/claims/{namespace}/{name}/places", web::get().to(claim_places))
        .route("/gangs/{namespace}/{name:.*}", web::get().to(gang))
        .route("/room/{namespace}/{name:.*}", web::get().to(room))
        .route("/what-if", web::post().to(try_manifest))
        .default_service(web::to(not_found));
    config.service(api).route("/", web::get().to(index)).route("/{path:.*}", web::get().to(file));
}

async fn index(request: HttpRequest) -> HttpResponse {
    asset("index.html").map_or_else(missing, |asset| serve(asset, request.headers()))
}

async fn file(request: HttpRequest, path: Path<String>) -> HttpResponse {
    asset(&path).map_or_else(missing, |asset| serve(asset, request.headers()))
}

async fn not_found() -> HttpResponse {
    missing()
}

fn missing() -> HttpResponse {
    HttpResponse::NotFound().json(json!({"error": "nothing is served here"}))
}

/// A browser may keep a file, and asks each time whether it is still the same: a new version is seen at once.
fn serve(asset: &Asset, request: &HeaderMap) -> HttpResponse {
    if has_tag(request, &asset.etag) {
        return HttpResponse::NotModified().insert_header((ETAG, asset.etag.as_str())).finish();
    }
    let mut response = HttpResponse::Ok();
    response
        .insert_header((ETAG, asset.etag.as_str()))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((VARY, "accept-encoding"))
        .content_type(asset.mime);
    match asset.gzip.as_ref().filter(|_| accepts_gzip(request)) {
        Some(gzip) => response.insert_header((CONTENT_ENCODING, "gzip")).body(gzip.clone()),
        None => response.body(asset.plain.clone()),
    }
}

fn has_tag(request: &HeaderMap, tag: &str) -> bool {
    let known = request.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    let accepted = request.get(ACCEPT_ENCODING).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| matches!(coding.trim().split(';').next(), Some("gzip" | "*")))
}

/// Everything that the page shows. It is compressed in any case: who asks is a browser, or `curl --compressed`.
async fn fleet(request: HttpRequest, shared: Data<Shared>) -> HttpResponse {
    let publisher = Arc::clone(&shared.publisher);
    let Ok(everything) = web::block(move || publisher.everything()).await else { return overloaded() };
    let tag = format!("\"{}\"", everything.id);
    if has_tag(request.headers(), &tag) {
        return HttpResponse::NotModified().insert_header((ETAG, tag)).finish();
    }
    HttpResponse::Ok()
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_ENCODING, "gzip"))
        .content_type(ContentType::json())
        .body(everything.gzip)
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: String,
}

/// What changes, as server-sent events.
async fn events(request: HttpRequest, since: Query<Since>, shared: Data<Shared>) -> HttpResponse {
    // What the browser has seen last wins over what the page knew when it began.
    let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
    let Some(listener) = shared.publisher.listen(last.unwrap_or(&since.since)) else {
        return HttpResponse::ServiceUnavailable()
            .insert_header(("retry-after", "10"))
            .json(json!({"error": "too many pages are open"}));
    };
    let gzip = accepts_gzip(request.headers());
    let mut response = HttpResponse::Ok();
    response.content_type("text/event-stream").insert_header((CACHE_CONTROL, "no-store"));
    if gzip {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    let body = body(listener, gzip).map(Ok::<_, actix_web::Error>);
    match shared.options.gatekeeper {
        // Who asks again is looked at again.
        Some(_) => response.streaming(body.take_until(Box::pin(tokio::time::sleep(STREAM_LASTS)))),
        None => response.streaming(body),
    }
}

/// First what was missed, or that everything has to be asked for again; then what comes. Ends when the listener is too far
/// behind: it comes again and asks for what it missed.
fn body(mut listener: Listener, gzip: bool) -> impl Stream<Item = Bytes> {
    let form = move |event: &Event| if gzip { event.deflated.clone() } else { event.plain.clone() };
    let mut first = if gzip { vec![Bytes::from_static(GZIP_HEADER)] } else { vec![] };
    match listener.missed.take() {
        // Something comes at once, so that the browser knows that the connection stands.
        Some(missed) => first.extend(missed.iter().map(|event| form(event)).chain([form(&Event::heartbeat())])),
        None => first.push(form(&Event::new(0, "", "reset", "{}"))),
    }
    let next = stream::unfold(listener, move |mut listener| async move {
        match listener.events.recv().await {
            Ok(event) => Some((form(&event), listener)),
            Err(RecvError::Lagged(_) | RecvError::Closed) => None,
        }
    });
    stream::iter(first).chain(next)
}

#[derive(Deserialize)]
struct Searched {
    q: String,
}

async fn find(searched: Query<Searched>, shared: Data<Shared>) -> HttpResponse {
    answer(web::block(move || Some(search(&shared.host, &searched.q))).await, "")
}

async fn node(name: Path<String>, shared: Data<Shared>) -> HttpResponse {
    let host = &shared.host;
    let snapshot = host.snapshot_to_show();
    let state = snapshot.node(&name);
    let detail = state.and_then(|state| NodeDetail::of(state, host.node_problems(&name), &snapshot));
    answer(Ok(detail), &format!("there is no node {name}"))
}

async fn pod(path: Path<(String, String)>, shared: Data<Shared>) -> HttpResponse {
    let (namespace, name) = path.into_inner();
    let nobody = format!("there is no pod {namespace}/{name}");
    let detail = move || {
        let pod = shared.host.pod(&namespace, &name)?;
        Some(PodDetail::of(&shared.host.snapshot(), &pod, &shared.host.pods()))
    };
    answer(web::block(detail).await, &nobody)
}

async fn gang(path: Path<(String, String)>, shared: Data<Shared>) -> HttpResponse {
    let (namespace, name) = path.into_inner();
    let nobody = format!("there is no gang {namespace}/{name}: no pod names it, or its members start each for itself");
    let explained = move || {
        let host = &shared.host;
        let (snapshot, pods) = (host.snapshot(), host.pods());
        let gangs = host.gangs_named(&namespace, &name);
        let gangs: Vec<GangDetail> = gangs.iter().map(|gang| GangDetail::of(gang, &snapshot, &pods)).collect();
        Some(gangs).filter(|gangs| !gangs.is_empty())
    };
    answer(web::block(explained).await, &nobody)
}

async fn claim(path: Path<(String, String)>, shared: Data<Shared>) -> HttpResponse {
    let key = claim_key(path);
    let detail = shared.host.claim(&key).map(|(claim, pods)| ClaimDetail::of(&claim, &pods));
    answer(Ok(detail), &format!("there is no ResourceClaim {key}, or testudo does not look at claims"))
}

fn claim_key(path: Path<(String, String)>) -> ClaimKey {
    let (namespace, name) = path.into_inner();
    ClaimKey { namespace: namespace.into(), name: name.into() }
}

/// Where a claim could get devices, and what stands against it elsewhere.
async fn claim_places(path: Path<(String, String)>, shared: Data<Shared>) -> HttpResponse {
    let key = claim_key(path);
    let Ok(_turn) = shared.long_questions.try_acquire() else { return overloaded() };
    let host = Arc::clone(&shared.host);
    let nobody = format!("there is no ResourceClaim {key}");
    match web::block(move || what_if::places(&host, &key)).await {
        Ok(Ok(found)) => answer(Ok(found), &nobody),
        Ok(Err(error)) => refused(422, &error),
        Err(_) => overloaded(),
    }
}

/// Who would have to end for a gang to start.
async fn room(path: Path<(String, String)>, shared: Data<Shared>) -> HttpResponse {
    let (namespace, name) = path.into_inner();
    let Ok(_turn) = shared.long_questions.try_acquire() else { return overloaded() };
    let host = Arc::clone(&shared.host);
    let found = web::block(move || Some(what_if::room(&host, &namespace, &name))).await;
    answer(found, "")
}

/// Would what this manifest describes fit?
async fn try_manifest(mut payload: Payload, shared: Data<Shared>) -> HttpResponse {
    let mut text = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let Ok(chunk) = chunk else { return refused(400, "the manifest breaks off") };
        if text.len() + chunk.len() > MAX_TEXT_BYTES {
            return refused(413, &format!("the manifest has more than {MAX_TEXT_BYTES} bytes"));
        }
        text.extend_from_slice(&chunk);
    }
    let Ok(_turn) = shared.long_questions.try_acquire() else { return overloaded() };
    let (host, scheduler) = (Arc::clone(&shared.host), shared.options.scheduler.clone());
    match web::block(move || what_if::answer(&host, &text, &scheduler)).await {
        Ok(Ok(found)) => fresh().json(found),
        Ok(Err(error)) => refused(422, &error),
        Err(_) => overloaded(),
    }
}

/// The answer to a question, nothing of which is kept.
fn answer<T: Serialize>(found: Result<Option<T>, BlockingError>, nobody: &str) -> HttpResponse {
    match found {
        Ok(Some(found)) => fresh().json(found),
        Ok(None) => refused(404, nobody),
        Err(_) => overloaded(),
    }
}

fn fresh() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}

fn refused(status: u16, text: &str) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
    HttpResponse::build(status).json(json!({"error": text}))
}

fn overloaded() -> HttpResponse {
    HttpResponse::TooManyRequests()
        .insert_header(("retry-after", "1"))
        .json(json!({"error": "another question is being worked out; ask again in a moment"}))
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
