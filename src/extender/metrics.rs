//! What is counted and timed. Every label has a fixed, small set of values.

use std::fmt;
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Bounds of the duration buckets: from what a cached verdict takes to what a bind may wait.
const DURATION_SECONDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const NODES_OFFERED: [f64; 10] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0];
/// The code counted for a caller that hung up before it was answered.
const CLIENT_GONE: u16 = 499;

/// The verbs of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in the extender API")]
pub enum Verb {
    Filter,
    Prioritize,
    Bind,
    Preempt,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Filter, Self::Prioritize, Self::Bind, Self::Preempt];

    /// As it stands in the path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Prioritize => "prioritize",
            Self::Bind => "bind",
            Self::Preempt => "preempt",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EncodeLabelValue for Verb {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        fmt::Write::write_str(encoder, self.as_str())
    }
}

/// What can be wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadRequest {
    /// No such verb.
    UnknownVerb,
    /// A verb, but not POST.
    WrongMethod,
    /// Larger than the limit.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The connection broke within the body, or its encoding is broken.
    BodyBroken,
    /// Not JSON.
    InvalidJson,
    /// JSON, but not of the shape that the verb takes.
    WrongType,
    /// Both or neither of the two forms.
    Form,
    /// A field without which there is no answer is absent or empty.
    MissingField,
    /// More nodes than the limit.
    TooManyNodes,
    /// More requests at a time than the limit.
    Overloaded,
}

impl EncodeLabelValue for BadRequest {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let label = match self {
            Self::UnknownVerb => "unknown_verb",
            Self::WrongMethod => "wrong_method",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyBroken => "body_broken",
            Self::InvalidJson => "invalid_json",
            Self::WrongType => "wrong_type",
            Self::Form => "form",
            Self::MissingField => "missing_field",
            Self::TooManyNodes => "too_many_nodes",
            Self::Overloaded => "overloaded",
        };
        fmt::Write::write_str(encoder, label)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabel {
    verb: Verb,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: Verb,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: BadRequest,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The extender's metrics; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<VerbLabel, Histogram, fn() -> Histogram>,
    refused: Family<VerbLabel, Counter>,
    bad_requests: Family<ReasonLabel, Counter>,
    panics: Family<VerbLabel, Counter>,
    nodes_offered: Histogram,
    in_flight: Gauge,
    reloads: Family<OutcomeLabel, Counter>,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_SECONDS)),
            refused: Family::default(),
            bad_requests: Family::default(),
            panics: Family::default(),
            nodes_offered: Histogram::new(NODES_OFFERED),
            in_flight: Gauge::default(),
            reloads: Family::default(),
        };
        let name = |name: &str| format!("testudo_extender_{name}");
        registry.register(
            name("requests"),
            "Requests by verb and HTTP status; 499 means that the caller hung up",
            metrics.requests.clone(),
        );
        registry.register(
            name("request_duration_seconds"),
            "Time from the head of a request to its answer",
            metrics.durations.clone(),
        );
        registry.register(
            name("refused"),
            "Requests that were understood and answered with an error, which may stand in a result with status 200",
            metrics.refused.clone(),
        );
        registry.register(name("bad_requests"), "Requests that make no sense, by reason", metrics.bad_requests.clone());
        registry.register(name("panics"), "Requests in which the extender panicked: a bug", metrics.panics.clone());
        registry.register(name("nodes_offered"), "Nodes offered in one request", metrics.nodes_offered.clone());
        registry.register(name("requests_in_flight"), "Requests being answered", metrics.in_flight.clone());
        registry.register(
            name("certificate_reloads"),
            "Changes of the TLS files that were taken up, or found broken and left alone",
            metrics.reloads.clone(),
        );
        metrics.start_at_zero();
        metrics
    }

    /// What appears with its first count shows no increase, and no alert sees the first panic.
    fn start_at_zero(&self) {
        for verb in Verb::ALL {
            drop(self.requests.get_or_create(&RequestLabels { verb, code: 200 }));
            drop(self.durations.get_or_create(&VerbLabel { verb }));
            drop(self.refused.get_or_create(&VerbLabel { verb }));
            drop(self.panics.get_or_create(&VerbLabel { verb }));
        }
        drop(self.bad_requests.get_or_create(&ReasonLabel { reason: BadRequest::InvalidJson }));
        for outcome in ["ok", "failed"] {
            drop(self.reloads.get_or_create(&OutcomeLabel { outcome }));
        }
    }

    /// Starts to observe a request. What is returned finishes the observation when it is dropped.
    pub fn start(&self, verb: Verb) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight { metrics: self, verb, started: Instant::now(), code: CLIENT_GONE }
    }

    pub(super) fn bad_request(&self, reason: BadRequest) {
        self.bad_requests.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(super) fn refused(&self, verb: Verb) {
        self.refused.get_or_create(&VerbLabel { verb }).inc();
    }

    pub(super) fn panicked(&self, verb: Verb) {
        self.panics.get_or_create(&VerbLabel { verb }).inc();
    }

    pub(super) fn offered(&self, nodes: usize) {
        self.nodes_offered.observe(nodes as f64);
    }

    pub(super) fn reloaded(&self, taken_up: bool) {
        let outcome = if taken_up { "ok" } else { "failed" };
        self.reloads.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

/// A request that has not been answered yet.
#[derive(Debug)]
pub struct InFlight<'a> {
    metrics: &'a Metrics,
    verb: Verb,
    started: Instant,
    code: u16,
}

impl InFlight<'_> {
    /// Notes the status of the answer.
    pub fn answered(mut self, code: u16) {
        self.code = code;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.requests.get_or_create(&RequestLabels { verb: self.verb, code: self.code }).inc();
        let taken = self.started.elapsed().as_secs_f64();
        self.metrics.durations.get_or_create(&VerbLabel { verb: self.verb }).observe(taken);
    }
}
