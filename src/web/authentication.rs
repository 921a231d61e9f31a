//! Who may see the page where others can reach it: whoever has a token of the cluster and may `get` (or, to try manifests,
//! `post`) the path [`PATH`].
//!
//! The token stands in the header `Authorization`, where proxies that authenticate put it. The API server is asked whose it
//! is and whether they may; what it said is remembered for a minute, so that a page which asks often does not. The path that
//! is asked for is one of our own, not that of the request: `/api/...` is readable to everybody in most clusters, since
//! the API server has paths of that name.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::web::Data;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{info, warn};

use super::server::Shared;
use crate::k8s::reviews::{Reviewer, Verdict};

/// What one must be allowed: `nonResourceURLs: [/testudo/page]`, `verbs: [get, post]`.
pub const PATH: &str = "/testudo/page";

/// For how long a yes holds: so long may somebody go on whose right was taken away.
const YES_HOLDS: Duration = Duration::from_secs(60);

/// For how long a no holds: so long does somebody wait who was just given the right.
const NO_HOLDS: Duration = Duration::from_secs(10);

/// Answers that are remembered.
const MAX_KNOWN: usize = 1024;

/// Questions to the API server at a time, whoever knocks; and how long one waits for a turn and an answer.
const MAX_QUESTIONS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);

/// For how long events are sent before the browser has to ask again, and is looked at again.
pub(super) const STREAM_LASTS: Duration = Duration::from_secs(300);

/// Keeps out who may not see the page.
pub struct Gatekeeper {
    reviewer: Reviewer,
    known: Mutex<HashMap<Key, Remembered>>,
    questions: Semaphore,
}

/// What was asked: the token's hash, since nobody needs the token any more, and the verb.
type Key = ([u8; 32], &'static str);

#[derive(Debug, Clone)]
struct Remembered {
    verdict: Verdict,
    until: Instant,
}

impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatekeeper").finish_non_exhaustive()
    }
}

impl Gatekeeper {
    /// One that asks this.
    pub fn new(reviewer: Reviewer) -> Self {
        Self { reviewer, known: Mutex::default(), questions: Semaphore::new(MAX_QUESTIONS) }
    }

    /// What the API server says, or has said a moment ago; nothing if it does not answer.
    async fn verdict(&self, token: &str, verb: &'static str, now: Instant) -> Option<Verdict> {
        let key = (hash(token), verb);
        if let Some(verdict) = self.remembered(&key, now) {
            return Some(verdict);
        }
        let asking = async {
            let _turn = self.questions.acquire().await;
            // Somebody may have asked the same meanwhile.
            match self.remembered(&key, now) {
                Some(verdict) => Ok(verdict),
                None => {
                    self.reviewer.review(token, verb, PATH).await.inspect(|verdict| self.remember(key, verdict, now))
                }
            }
        };
        match timeout(PATIENCE, asking).await {
            Ok(Ok(verdict)) => Some(verdict),
            Ok(Err(error)) => {
                warn!(%error, "the page: the API server was asked about a token and has not answered");
                None
            }
            Err(_) => {
                warn!("the page: the API server was asked about a token and has not answered in time");
                None
            }
        }
    }

    fn remembered(&self, key: &Key, now: Instant) -> Option<Verdict> {
        let known = self.known.lock();
        known.get(key).filter(|known| now < known.until).map(|known| known.verdict.clone())
    }

    fn remember(&self, key: Key, verdict: &Verdict, now: Instant) {
        let holds = match verdict {
            Verdict::Allowed { .. } => YES_HOLDS,
            Verdict::Forbidden { user } => {
                info!(user, verb = key.1, path = PATH, "the page was refused: no role allows it");
                NO_HOLDS
            }
            Verdict::Unknown => NO_HOLDS,
        };
        let mut known = self.known.lock();
        if known.len() >= MAX_KNOWN {
            known.retain(|_, known| now < known.until);
        }
        if known.len() >= MAX_KNOWN {
            // Somebody tries many tokens. Who has a good one is asked for again.
            known.clear();
        }
        known.insert(key, Remembered { verdict: verdict.clone(), until: now + holds });
    }
}

fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// The token of a request.
fn token(request: &ServiceRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Lets pass who may see the page.
pub(super) async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(shared) = request.app_data::<Data<Shared>>().cloned() else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()));
    };
    let Some(gatekeeper) = &shared.options.gatekeeper else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let verb = match *request.method() {
        Method::GET | Method::HEAD => "get",
        Method::POST => "post",
        _ => return Ok(request.into_response(HttpResponse::MethodNotAllowed().finish())),
    };
    let Some(token) = token(&request) else { return Ok(refused(request, "send a token of the cluster")) };
    match gatekeeper.verdict(token, verb, Instant::now()).await {
        Some(Verdict::Allowed { .. }) => Ok(next.call(request).await?.map_into_boxed_body()),
        Some(Verdict::Forbidden { user }) => {
            let text = format!("testudo: {user} may not {verb} {PATH}: bind a ClusterRole with this nonResourceURL\n");
            Ok(request.into_response(HttpResponse::Forbidden().body(text)))
        }
        Some(Verdict::Unknown) => Ok(refused(request, "the token is not valid, or not any more")),
        None => {
            let text = "testudo: the API server was asked about the token and has not answered\n";
            Ok(request.into_response(HttpResponse::ServiceUnavailable().insert_header(("retry-after", "5")).body(text)))
        }
    }
}

fn refused(request: ServiceRequest, why: &str) -> ServiceResponse<BoxBody> {
    let response = HttpResponse::Unauthorized()
        .insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"testudo\""))
        .body(format!("testudo: {why} (Authorization: Bearer ...)\n"));
    request.into_response(response)
}

#[cfg(test)]
#[path = "authentication_tests.rs"]
mod tests;
