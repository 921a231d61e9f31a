//! The network between the replicas of testudo and the API server: requests, answers and watches take their time, get
//! lost, and come in another order than they were sent.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::channel::mpsc;
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use testudo::sim::rng::Rng;
use tokio::sync::oneshot;

use crate::api::requests::{self, Answer, Request, refused};
use crate::api::store::{Happened, Kind, Refused, Store, What};
use crate::story::Story;

type Reply = Result<Response<UnsyncBoxBody<Bytes, Infallible>>, io::Error>;
type Frames = mpsc::UnboundedSender<Result<http_body::Frame<Bytes>, Infallible>>;

/// A request that a replica has just sent.
#[derive(Debug)]
pub struct Sent {
    request: Request,
    reply: oneshot::Sender<Reply>,
}

impl Sent {
    /// Does it write something by which others decide? Leases and events are no such thing.
    pub fn is_decisive(&self) -> bool {
        is_decisive(&self.request)
    }
}

fn is_decisive(request: &Request) -> bool {
    request.is_write() && !request.path.contains("/leases/") && !request.path.contains("events.k8s.io")
}

/// Where a replica puts what it sends.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Mutex<Vec<Sent>>>);

impl Outbox {
    /// A client of which all requests come here.
    pub fn client(&self) -> Client {
        let outbox = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let outbox = outbox.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.map_err(io::Error::other)?;
                let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
                let request = Request {
                    content_type: header(http::header::CONTENT_TYPE).to_owned(),
                    path: head.uri.path().to_owned(),
                    query: head.uri.query().unwrap_or_default().to_owned(),
                    method: head.method,
                    body: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? },
                };
                let (reply, answered) = oneshot::channel();
                outbox.0.lock().unwrap_or_else(PoisonError::into_inner).push(Sent { request, reply });
                answered.await.map_err(|_| reset())?
            }
        });
        Client::new(service, "default")
    }

    /// What was sent since this was last asked.
    pub fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer")
}

/// How things are on the network, until they are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Requests and answers take so many milliseconds at most.
    pub delay_ms: usize,
    /// Of a hundred requests so many get lost, on the way to the server or with their answer.
    pub lost: usize,
    /// Of a hundred requests so many are answered with an error of the server.
    pub failed: usize,
    /// Of a hundred requests so many are stuck on their way for seconds, whoever has given them up meanwhile.
    pub stuck: usize,
    /// Watches are behind by so many milliseconds at most.
    pub lag_ms: usize,
}

/// A good day.
pub const FAIR: Weather = Weather { delay_ms: 20, lost: 0, failed: 0, stuck: 0, lag_ms: 30 };

/// A request or its answer, on its way.
struct Underway {
    due_ms: u64,
    /// The replica, and its life.
    from: From,
    leg: Leg,
}

enum Leg {
    ToServer(Sent),
    Back(oneshot::Sender<Reply>, Reply),
}

/// Which replica, in which of its lives.
pub type From = (usize, u64);

/// A watch.
struct Watch {
    of: From,
    kind: Kind,
    after: u64,
    lag_ms: u64,
    ends_ms: u64,
    frames: Frames,
}

/// The network.
pub struct Network {
    rng: Rng,
    weather: Weather,
    bad_until_ms: u64,
    underway: Vec<Underway>,
    watches: Vec<Watch>,
}

/// What is stuck arrives within this time: for longer no fence would hold (docs/simulation.md).
const STUCK_MS: usize = 4_000;

/// The server ends watches after this time.
const WATCH_MS: u64 = 120_000;

impl Network {
    /// On a fair day.
    pub fn new(rng: Rng) -> Self {
        Self { rng, weather: FAIR, bad_until_ms: 0, underway: vec![], watches: vec![] }
    }

    /// From now on it is like this, for a while.
    pub fn set_weather(&mut self, weather: Weather, until_ms: u64) {
        (self.weather, self.bad_until_ms) = (weather, until_ms);
    }

    /// How far behind watches are, at most.
    pub fn lag_ms(&self) -> usize {
        self.weather.lag_ms
    }

    /// When the next thing arrives.
    pub fn next_ms(&self) -> Option<u64> {
        self.underway.iter().map(|underway| underway.due_ms).min()
    }

    /// Takes over what a replica has sent.
    pub fn send(&mut self, from: From, sent: Vec<Sent>, now_ms: u64) {
        for sent in sent {
            let delay_ms = 1 + self.rng.below(self.weather.delay_ms) as u64;
            let is_stuck = self.weather.stuck > 0 && self.rng.below(100) < self.weather.stuck;
            let stuck_ms = if is_stuck { self.rng.below(STUCK_MS) as u64 } else { 0 };
            let due_ms = now_ms + delay_ms + stuck_ms;
            self.underway.push(Underway { due_ms, from, leg: Leg::ToServer(sent) });
        }
    }

    /// A replica is gone: its watches are, and what it has sent is still on its way.
    pub fn forget(&mut self, replica: usize) {
        self.watches.retain(|watch| watch.of.0 != replica);
    }

    /// Ends all watches, of one kind or of all: they are made anew.
    pub fn break_watches(&mut self, kind: Option<Kind>) {
        self.watches.retain(|watch| kind.is_some_and(|kind| kind != watch.kind));
    }

    /// Has a replica heard of everything that its ledger is made from? Nothing of it is on its way, not even the answer to a
    /// watch that has begun.
    pub fn has_told_all(&self, replica: usize, store: &Store) -> bool {
        if self.underway.iter().any(|underway| underway.from.0 == replica) {
            return false;
        }
        let has_told = |watch: &Watch| store.since(watch.kind, watch.after).is_ok_and(<[Happened]>::is_empty);
        [Kind::Node, Kind::Pod, Kind::Claim, Kind::Slice]
            .into_iter()
            .all(|kind| self.watches.iter().any(|watch| watch.of.0 == replica && watch.kind == kind && has_told(watch)))
    }

    /// Lets arrive what is due, and the watches tell what they have to tell.
    pub fn step(&mut self, store: &mut Store, story: &mut Story, now_ms: u64) {
        if now_ms >= self.bad_until_ms {
            self.weather = FAIR;
        }
        let (mut due, later): (Vec<_>, Vec<_>) = self.underway.drain(..).partition(|leg| leg.due_ms <= now_ms);
        self.underway = later;
        due.sort_by_key(|leg| leg.due_ms);
        for Underway { from, leg, .. } in due {
            match leg {
                Leg::ToServer(sent) => self.arrive(from, sent, store, story, now_ms),
                // Nobody waits any longer where a replica has gone.
                Leg::Back(to, reply) => _ = to.send(reply),
            }
        }
        self.tell(store, now_ms);
    }

    fn arrive(&mut self, from: From, sent: Sent, store: &mut Store, story: &mut Story, now_ms: u64) {
        let Sent { request, reply } = sent;
        let chance = self.rng.below(100);
        let Weather { lost, failed, .. } = self.weather;
        let due_ms = now_ms + 1 + self.rng.below(self.weather.delay_ms) as u64;
        let who = format_args!("testudo-{}", from.0).to_string();
        if chance < lost / 2 {
            story.tell(now_ms, || format!("{who}: {} is lost", title(&request)));
            self.underway.push(Underway { due_ms, from, leg: Leg::Back(reply, Err(reset())) });
            return;
        }
        let answer = if (lost..lost + failed).contains(&chance) {
            let message = "etcdserver: request timed out".into();
            refused(Refused { code: 500, reason: "InternalError", message })
        } else {
            requests::answer(store, &request)
        };
        let answer = match answer {
            Answer::Whole(code, body) => {
                if is_decisive(&request) {
                    let said = if code < 300 { String::new() } else { format!(": {code} {}", body["message"]) };
                    let lost = if chance < lost { ", and the answer is lost" } else { "" };
                    story.tell(now_ms, || format!("{who}: {}{said}{lost}", title(&request)));
                }
                response(code, Full::new(Bytes::from(body.to_string())).boxed_unsync())
            }
            Answer::Watch { kind, after } => {
                let (frames, receiver) = mpsc::unbounded();
                let lag_ms = self.rng.below(self.weather.lag_ms) as u64;
                self.watches.push(Watch { of: from, kind, after, lag_ms, ends_ms: now_ms + WATCH_MS, frames });
                response(200, StreamBody::new(receiver).boxed_unsync())
            }
        };
        let answer = if chance < lost { Err(reset()) } else { answer };
        self.underway.push(Underway { due_ms, from, leg: Leg::Back(reply, answer) });
    }

    fn tell(&mut self, store: &Store, now_ms: u64) {
        let (rng, weather) = (&mut self.rng, self.weather);
        self.watches.retain_mut(|watch| {
            let Ok(happened) = store.since(watch.kind, watch.after) else {
                let gone =
                    json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"});
                watch.send("ERROR", &gone.to_string());
                return false;
            };
            for happened in happened {
                if happened.at_ms + watch.lag_ms > now_ms {
                    break;
                }
                watch.tell(happened);
                // A proxy that tries again, or a cache that is told twice.
                if rng.below(50) == 0 {
                    watch.tell(happened);
                }
                watch.after = happened.version;
                watch.lag_ms = rng.below(weather.lag_ms) as u64;
            }
            now_ms < watch.ends_ms && !watch.frames.is_closed()
        });
    }
}

impl Watch {
    fn tell(&self, happened: &Happened) {
        let what = match happened.what {
            What::Added => "ADDED",
            What::Modified => "MODIFIED",
            What::Deleted => "DELETED",
        };
        self.send(what, happened.object.text());
    }

    fn send(&self, what: &str, object: &str) {
        let line = format!("{{\"type\":\"{what}\",\"object\":{object}}}\n");
        // Who does not listen any more is found out at the end of the step.
        let _ = self.frames.unbounded_send(Ok(http_body::Frame::data(Bytes::from(line))));
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what travels is an answer or an error")]
fn response(code: u16, body: UnsyncBoxBody<Bytes, Infallible>) -> Reply {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    Ok(response)
}

/// A request in a line of the story.
fn title(request: &Request) -> String {
    let path = request.path.rsplit("/namespaces/").next().unwrap_or_default();
    let body = if request.body.is_null() { String::new() } else { format!(" {}", essence(&request.body)) };
    format!("{} {path}{body}", request.method)
}

/// Of whole objects only the status.
fn essence(body: &Value) -> Value {
    match (&body["spec"], &body["status"]) {
        (spec, status) if spec.is_object() && !status.is_null() => json!({ "status": status }),
        _ => body.clone(),
    }
}
