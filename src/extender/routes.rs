//! What is served where, and how a body is read.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{BytesMut, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, web};
use futures::StreamExt;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio::time::timeout;
use tracing::{Instrument, field, info_span};

use super::answer::{Answer, Answers};
use super::metrics::{BadRequest, Verb};
use super::{Binding, Extender, Refusal};
use crate::listener::Admission;

/// As much is set aside for a body before it comes, whatever it says about its length.
const BODY_RESERVE_BYTES: usize = 1 << 20;
/// What each body may have for itself, so that large ones leave room for others. 1,024 connections come to 256 MB.
const BODY_SHARE_BYTES: usize = 250_000;

/// What the handlers of all workers share.
pub(super) struct Shared<E> {
    pub answers: Answers<E>,
    pub registry: Arc<Registry>,
    /// Where binds run, so that they depend neither on a worker nor on the caller's patience.
    pub runtime: Handle,
    pub body_limit_bytes: usize,
    /// A permit for each byte that bodies have in memory beyond their share.
    pub large_bodies: Semaphore,
    pub request_timeout: Duration,
    pub bind_timeout: Duration,
    /// Of the questions that are there as a whole and wait for their turn.
    pub admission: Admission,
}

/// A worker answers one question after the other. Between two of them it reads what has come for others, so that it knows
/// of all who wait and can refuse those who are too many.
pub(super) struct Turns(Semaphore);

impl Turns {
    pub fn of_a_worker() -> Self {
        Self(Semaphore::new(1))
    }

    /// Waits for a turn, which lasts until what is returned is dropped.
    async fn next(&self) -> Option<SemaphorePermit<'_>> {
        let turn = self.0.acquire().await.ok();
        yield_now().await;
        turn
    }
}

pub(super) fn verbs<E: Extender>(config: &mut ServiceConfig) {
    config.route("/v1/{verb}", web::to(verb::<E>));
}

pub(super) fn health<E: Extender>(config: &mut ServiceConfig) {
    config.route("/livez", web::get().to(livez));
    config.route("/readyz", web::get().to(readyz::<E>));
}

pub(super) fn metrics<E: Extender>(config: &mut ServiceConfig) {
    config.route("/metrics", web::get().to(exposition::<E>));
}

pub(super) async fn not_found<E: Extender>(request: HttpRequest, shared: Data<Shared<E>>) -> HttpResponse {
    unknown(&shared, request.path())
}

fn unknown<E: Extender>(shared: &Shared<E>, path: &str) -> HttpResponse {
    shared.answers.metrics.bad_request(BadRequest::UnknownVerb);
    let verbs = Verb::ALL.map(|verb| format!("POST /v1/{verb}")).join(", ");
    respond(Answer::text(404, format!("testudo: nothing is served at {path:?}; the verbs are {verbs}")))
}

async fn verb<E: Extender>(
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared<E>>,
    turns: Data<Turns>,
) -> HttpResponse {
    let asked = request.match_info().query("verb");
    let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.as_str() == asked) else {
        return unknown(&shared, request.path());
    };
    let in_flight = shared.answers.metrics.start(verb);
    // Pod and gang are noted by who reads the body.
    let span = info_span!(
        "extender",
        otel.name = verb.as_str(),
        otel.kind = "server",
        pod = field::Empty,
        gang = field::Empty,
        nodes = field::Empty,
        status = field::Empty,
    );
    let answer = answered(verb, &request, payload, &shared, &turns).instrument(span.clone()).await;
    span.record("status", answer.status);
    in_flight.answered(answer.status);
    respond(answer)
}

async fn answered<E: Extender>(
    verb: Verb,
    request: &HttpRequest,
    payload: Payload,
    shared: &Shared<E>,
    turns: &Turns,
) -> Answer {
    if request.method() != Method::POST {
        let text = format!("{verb} takes POST, not {}", request.method());
        return unread(shared, 405, BadRequest::WrongMethod, text);
    }
    let question = match verb {
        Verb::Filter => Answers::filter,
        Verb::Prioritize => Answers::prioritize,
        Verb::Preempt => Answers::preempt,
        Verb::Bind => return read_and_bind(request, payload, shared).await,
    };
    // Who would be one too many is told so before he is read.
    if shared.admission.is_full() {
        return overloaded(shared);
    }
    let body = match read_in_time(request, payload, shared).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    // Not before: whoever is slow to say what he wants takes nobody's place.
    let Some(_admitted) = shared.admission.admit() else { return overloaded(shared) };
    let _turn = turns.next().await;
    question(&shared.answers, &body.bytes)
}

fn unread<E: Extender>(shared: &Shared<E>, status: u16, reason: BadRequest, text: String) -> Answer {
    shared.answers.metrics.bad_request(reason);
    Answer::text(status, format!("testudo: {text}"))
}

fn overloaded<E: Extender>(shared: &Shared<E>) -> Answer {
    let text = format!("overloaded: {} requests wait for an answer, no more may; ask again", shared.admission.limit());
    unread(shared, 503, BadRequest::Overloaded, text)
}

/// A body, and the room that it takes.
struct Body<'s> {
    bytes: BytesMut,
    /// What it has beyond its share.
    beyond: Option<SemaphorePermit<'s>>,
}

impl<'s> Body<'s> {
    /// Adds what has come; nothing where there is no room for it.
    fn extend(&mut self, chunk: &[u8], room: &'s Semaphore) -> Option<()> {
        let bytes = self.bytes.len() + chunk.len();
        let beyond = bytes.saturating_sub(BODY_SHARE_BYTES.max(self.bytes.len()));
        if beyond > 0 {
            let more = room.try_acquire_many(u32::try_from(beyond).ok()?).ok()?;
            match &mut self.beyond {
                Some(beyond) => beyond.merge(more),
                none => *none = Some(more),
            }
        }
        self.bytes.extend_from_slice(chunk);
        Some(())
    }
}

/// Why a body is not read: status, what is counted, and what is said.
type Unread = (u16, BadRequest, String);

/// The body of a request; or the answer to one that cannot be read.
async fn read_in_time<'s, E: Extender>(
    request: &HttpRequest,
    payload: Payload,
    shared: &'s Shared<E>,
) -> Result<Body<'s>, Answer> {
    let read = timeout(shared.request_timeout, read(request, payload, shared.body_limit_bytes, &shared.large_bodies));
    let late = |_| {
        let text = format!("the body did not arrive within {:?}", shared.request_timeout);
        Err((408, BadRequest::BodyTooSlow, text))
    };
    read.await.unwrap_or_else(late).map_err(|(status, reason, text)| unread(shared, status, reason, text))
}

async fn read<'s>(
    request: &HttpRequest,
    mut payload: Payload,
    limit: usize,
    room: &'s Semaphore,
) -> Result<Body<'s>, Unread> {
    let too_large = |bytes: String| {
        let text =
            format!("the body has {bytes} bytes, the limit is {limit}; with nodeCacheCapable: true it is smaller");
        (413, BadRequest::BodyTooLarge, text)
    };
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let announced: usize = announced.unwrap_or(0);
    if announced > limit {
        return Err(too_large(announced.to_string()));
    }
    let mut body = Body { bytes: BytesMut::with_capacity(announced.min(BODY_RESERVE_BYTES)), beyond: None };
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| (400, BadRequest::BodyBroken, format!("the body breaks off: {error}")))?;
        if body.bytes.len() + chunk.len() > limit {
            return Err(too_large(format!("more than {limit}")));
        }
        body.extend(&chunk, room).ok_or_else(|| {
            let text = "overloaded: other bodies leave no room for one of this size; ask again";
            (503, BadRequest::Overloaded, text.to_owned())
        })?;
    }
    Ok(body)
}

/// Takes neither a place nor a turn: a binding is soon read, and waits elsewhere.
async fn read_and_bind<E: Extender>(request: &HttpRequest, payload: Payload, shared: &Shared<E>) -> Answer {
    let binding = match read_in_time(request, payload, shared).await {
        Ok(body) => shared.answers.binding(&body.bytes),
        Err(answer) => return answer,
    };
    match binding {
        Ok(binding) => bind(binding, shared).await,
        Err(answer) => answer,
    }
}

async fn bind<E: Extender>(binding: Binding, shared: &Shared<E>) -> Answer {
    let extender = Arc::clone(&shared.answers.extender);
    let limit = shared.bind_timeout;
    let binding = async move {
        let late = |_| Err(Refusal::Error(format!("testudo: not bound within {limit:?}")));
        timeout(limit, extender.bind(binding)).await.unwrap_or_else(late)
    };
    let task = shared.runtime.spawn(binding.in_current_span());
    match task.await {
        Ok(outcome) => shared.answers.bound(outcome),
        Err(error) => match error.try_into_panic() {
            Ok(cause) => shared.answers.panicked(Verb::Bind, &*cause),
            Err(_) => shared.answers.bound(Err(Refusal::Unavailable("testudo: shutting down".into()))),
        },
    }
}

fn respond(answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.content_type(if answer.json { "application/json" } else { "text/plain; charset=utf-8" });
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // The next connection may lead to a replica that can answer.
        response.force_close();
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.insert_header((header::ALLOW, "POST"));
    }
    response.body(answer.body)
}

async fn livez() -> HttpResponse {
    respond(Answer::text(200, "ok"))
}

async fn readyz<E: Extender>(request: HttpRequest, shared: Data<Shared<E>>) -> HttpResponse {
    let verbose = request.query_string().split('&').any(|part| part == "verbose" || part.starts_with("verbose="));
    respond(match (shared.answers.extender.ready(), verbose) {
        (Ok(()), false) => Answer::text(200, "ok"),
        (Ok(()), true) => Answer::text(200, "[+]extender ok\nreadyz check passed\n"),
        (Err(why), false) => Answer::text(503, why),
        (Err(why), true) => Answer::text(503, format!("[-]extender failed: {why}\nreadyz check failed\n")),
    })
}

async fn exposition<E: Extender>(shared: Data<Shared<E>>) -> HttpResponse {
    let mut text = String::new();
    match encode(&mut text, &shared.registry) {
        Ok(()) => {
            HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(text)
        }
        Err(error) => respond(Answer::text(500, format!("testudo: metrics cannot be written: {error}"))),
    }
}
