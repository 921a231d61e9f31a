//! The configuration file of `testudo serve`.
//!
//! Versioned like a Kubernetes object, and strict: what is not understood is refused, with the place in the file.

mod autoscaling;
mod leader_election;
mod nominations;
mod tracing;
pub(crate) mod units;
mod web;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use testudo_core::engine::{ClaimPolicy, Exclusion, GangPolicy, PlacementPolicy, Policy};
use testudo_core::model::selector::{Operator, Requirement};
use testudo_core::yaml::{self, YamlError};
use thiserror::Error;

pub use autoscaling::{AutoscalingSection, ProvisioningClass};
pub use leader_election::LeaderElectionSection;
pub use nominations::NominationsSection;
pub use tracing::TracingSection;
pub use web::{Authentication, WebSection};

/// `apiVersion` of the file.
pub const API_VERSION: &str = "config.testudo.dev/v1alpha1";
/// `kind` of the file.
pub const KIND: &str = "TestudoConfiguration";

/// What `testudo serve` is configured to do. Every field but version and kind has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// `config.testudo.dev/v1alpha1`.
    pub api_version: String,
    /// `TestudoConfiguration`.
    pub kind: String,
    /// `enforce` (default), or `observe`: answer everything with yes, and report what would have been done.
    #[serde(default)]
    pub mode: Mode,
    /// The extender's listener.
    #[serde(default)]
    pub extender: ExtenderSection,
    /// The listener for metrics and health; without an address both are served on the extender's.
    #[serde(default)]
    pub metrics: MetricsSection,
    /// The page.
    #[serde(default)]
    pub web: WebSection,
    /// The admission webhook, for clusters without MutatingAdmissionPolicy.
    #[serde(default)]
    pub webhook: WebhookSection,
    /// Pods that pass untouched.
    #[serde(default)]
    pub exclude: Vec<ExcludeSection>,
    /// A file that says what places are chosen for, by pod ([`policy`](crate::policy)). It is read again when it changes.
    #[serde(default)]
    pub policy_file: Option<PathBuf>,
    /// How gangs are planned.
    #[serde(default)]
    pub gangs: GangsSection,
    /// Which ResourceClaims are allocated.
    #[serde(default)]
    pub claims: ClaimsSection,
    /// How it works beside an autoscaler of nodes.
    #[serde(default)]
    pub autoscaling: AutoscalingSection,
    /// Which nodes are shown to kube-scheduler before it comes to a pod.
    #[serde(default)]
    pub nominations: NominationsSection,
    /// How one of several replicas is chosen to lead.
    #[serde(default)]
    pub leader_election: LeaderElectionSection,
    /// Where traces go.
    #[serde(default)]
    pub tracing: TracingSection,
    /// A file that adds products and machines to the built-in catalogue.
    #[serde(default)]
    pub catalogue_file: Option<PathBuf>,
}

/// Does testudo decide, or only watch?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decide.
    #[default]
    Enforce,
    /// Answer everything with yes, decide nothing, report what would have been done.
    Observe,
}

/// The extender's listener.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExtenderSection {
    /// Where to listen, `127.0.0.1:8888` by default.
    pub bind_address: SocketAddr,
    /// Serve TLS with these files; without them plain HTTP is served.
    pub tls: Option<TlsSection>,
    /// Largest request body, `96M` by default: room for 5,000 Node objects of 19 kB.
    #[serde(deserialize_with = "units::bytes")]
    pub max_body_bytes: usize,
    /// Most nodes in one request, 20000 by default.
    pub max_nodes: usize,
    /// Longest time for filter, prioritize and preempt, `1s` by default.
    #[serde(deserialize_with = "units::duration")]
    pub request_timeout: Duration,
    /// Longest time for bind, `25s` by default. Must be shorter than the extender's `httpTimeout` in the configuration of
    /// kube-scheduler, or that gives up before it hears how the binding went.
    #[serde(deserialize_with = "units::duration")]
    pub bind_timeout: Duration,
}

/// Certificates. All files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsSection {
    /// PEM file with the certificate chain.
    pub cert_file: PathBuf,
    /// PEM file with the private key.
    pub key_file: PathBuf,
    /// PEM file with the authorities whose client certificates are accepted. With it, a client certificate is required.
    #[serde(default, rename = "clientCAFile")]
    pub client_ca_file: Option<PathBuf>,
}

/// The listener for metrics and health.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Where to listen.
    pub bind_address: Option<SocketAddr>,
}

/// The admission webhook.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WebhookSection {
    /// Where it listens, with the certificate of `extender.tls`; it is not served without an address.
    pub bind_address: Option<SocketAddr>,
}

/// Pods that pass untouched: those in one of the namespaces, if any are named, that the selector selects, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExcludeSection {
    /// Namespaces.
    pub namespaces: BTreeSet<String>,
    /// A selector of labels, as in the Kubernetes API.
    pub pod_selector: LabelSelector,
}

/// How gangs are planned.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GangsSection {
    /// The schedulers that call testudo, `testudo-scheduler` by default. Gangs of other schedulers' pods are not planned.
    pub scheduler_names: BTreeSet<String>,
    /// How long the members of a plan have to come to bind before their places are given up, `1m` by default.
    #[serde(deserialize_with = "units::duration")]
    pub bind_window: Duration,
    /// How long places are kept for members that their controller has not made yet, `15m` by default. A gang can say
    /// otherwise with `testudo.dev/hold-timeout`.
    #[serde(deserialize_with = "units::duration")]
    pub hold_timeout: Duration,
    /// The longest that a gang can ask for with that, `1h` by default.
    #[serde(deserialize_with = "units::duration")]
    pub max_hold_timeout: Duration,
    /// For how many members that do not exist yet places are kept at a time in each namespace, 256 by default. No quota
    /// counts such places.
    pub max_expected_members: u32,
    /// The namespaces whose gangs may evict pods of lower priority; none by default.
    pub preempting_namespaces: BTreeSet<String>,
    /// The namespaces whose gangs are evicted as wholes when a part runs and the rest finds no place.
    pub regrouping_namespaces: BTreeSet<String>,
}

impl Default for GangsSection {
    fn default() -> Self {
        Self {
            scheduler_names: BTreeSet::from(["testudo-scheduler".to_owned()]),
            bind_window: Duration::from_secs(60),
            hold_timeout: Duration::from_secs(15 * 60),
            max_hold_timeout: Duration::from_secs(60 * 60),
            max_expected_members: 256,
            preempting_namespaces: BTreeSet::new(),
            regrouping_namespaces: BTreeSet::new(),
        }
    }
}

/// Which ResourceClaims are allocated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClaimsSection {
    /// The DeviceClasses whose claims testudo allocates; none by default. A claim of which any request asks for one of these
    /// is allocated as a whole.
    pub device_classes: BTreeSet<String>,
    /// The key of a taint: only devices of nodes that have it are given. Empty, the default, for devices of all nodes.
    pub fence_taint: String,
    /// After what time devices that a claim was given and nobody uses are taken back, `1m` by default.
    #[serde(deserialize_with = "units::duration")]
    pub release_unused_after: Duration,
}

impl Default for ClaimsSection {
    fn default() -> Self {
        Self {
            device_classes: BTreeSet::new(),
            fence_taint: String::new(),
            release_unused_after: Duration::from_secs(60),
        }
    }
}

/// A selector of labels, as in the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LabelSelector {
    /// Labels with these values.
    pub match_labels: std::collections::BTreeMap<String, String>,
    /// Further requirements.
    pub match_expressions: Vec<MatchExpression>,
}

/// A requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchExpression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: MatchOperator,
    /// Values for `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<String>,
}

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "named as in the Kubernetes API")]
pub enum MatchOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not of the configuration's form.
    #[error("{path}:{line}:{column}: {message}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong.
        message: String,
    },
    /// The values do not go together.
    #[error("{path}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            api_version: API_VERSION.into(),
            kind: KIND.into(),
            mode: Mode::default(),
            extender: ExtenderSection::default(),
            metrics: MetricsSection::default(),
            web: WebSection::default(),
            webhook: WebhookSection::default(),
            exclude: vec![],
            policy_file: None,
            gangs: GangsSection::default(),
            claims: ClaimsSection::default(),
            autoscaling: AutoscalingSection::default(),
            nominations: NominationsSection::default(),
            leader_election: LeaderElectionSection::default(),
            tracing: TracingSection::default(),
            catalogue_file: None,
        }
    }
}

impl Default for ExtenderSection {
    fn default() -> Self {
        Self {
            bind_address: SocketAddr::from(([127, 0, 0, 1], 8888)),
            tls: None,
            max_body_bytes: 96_000_000,
            max_nodes: 20_000,
            request_timeout: Duration::from_secs(1),
            bind_timeout: Duration::from_secs(25),
        }
    }
}

impl Configuration {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read or used; the error names the file, and line and column where there are any.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
        Self::parse(&text, path)
    }

    /// Reads and checks a text; `path` is how errors call it.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let configuration: Self = yaml::read(text).map_err(|error| {
            let YamlError { line, column, message } = error;
            ConfigError::Form { path: path.to_path_buf(), line, column, message }
        })?;
        let invalid = |message| ConfigError::Invalid { path: path.to_path_buf(), message };
        configuration.validate().map_err(invalid)?;
        Ok(configuration)
    }

    /// Checks what the form alone cannot say.
    ///
    /// # Errors
    /// With a text that says what is wrong and what to do.
    pub fn validate(&self) -> Result<(), String> {
        if self.api_version != API_VERSION || self.kind != KIND {
            let (version, kind) = (&self.api_version, &self.kind);
            return Err(format!("{version} {kind} is not known to this version of testudo; use {API_VERSION} {KIND}"));
        }
        let extender = &self.extender;
        if extender.max_body_bytes == 0 || extender.max_nodes == 0 {
            return Err("extender.maxBodyBytes and extender.maxNodes must be above 0".into());
        }
        if extender.request_timeout.is_zero() || extender.bind_timeout.is_zero() {
            return Err("extender.requestTimeout and extender.bindTimeout must be above 0s".into());
        }
        if extender.request_timeout > extender.bind_timeout {
            return Err("extender.requestTimeout must not be longer than extender.bindTimeout: \
                        kube-scheduler has one httpTimeout for both"
                .into());
        }
        self.leader_election.validate()?;
        if self.metrics.bind_address.is_some_and(|address| address.port() != 0 && address == extender.bind_address) {
            return Err("metrics.bindAddress and extender.bindAddress are the same; \
                        leave metrics.bindAddress out to serve both on one listener"
                .into());
        }
        if self.webhook.bind_address.is_some() && extender.tls.is_none() {
            return Err("webhook.bindAddress needs extender.tls: the API server speaks TLS only".into());
        }
        self.web.validate()?;
        self.tracing.validate()?;
        if self.gangs.bind_window <= extender.bind_timeout {
            return Err("gangs.bindWindow must be longer than extender.bindTimeout: \
                        the first member waits at bind for the last"
                .into());
        }
        for (at, exclude) in self.exclude.iter().enumerate() {
            exclude.validate().map_err(|message| format!("exclude[{at}]: {message}"))?;
        }
        Ok(())
    }

    /// The part that the engine decides by, beside what places are chosen for.
    pub fn policy(&self, placement: PlacementPolicy) -> Policy {
        Policy {
            exclusions: self.exclude.iter().map(ExcludeSection::exclusion).collect(),
            placement,
            gangs: GangPolicy {
                schedulers: self.gangs.scheduler_names.clone(),
                bind_window_ms: milliseconds(self.gangs.bind_window),
                hold_timeout_ms: milliseconds(self.gangs.hold_timeout),
                max_hold_timeout_ms: milliseconds(self.gangs.max_hold_timeout),
                max_expected: self.gangs.max_expected_members,
                preempting: self.gangs.preempting_namespaces.clone(),
                regrouping: self.gangs.regrouping_namespaces.clone(),
                ..GangPolicy::default()
            },
            claims: ClaimPolicy {
                classes: self.claims.device_classes.clone(),
                fence: Some(&*self.claims.fence_taint).filter(|key| !key.is_empty()).map(Into::into),
                unused_ms: milliseconds(self.claims.release_unused_after),
                ..ClaimPolicy::default()
            },
            autoscaling: self.autoscaling.policy(),
            ahead: self.nominations.policy(),
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl ExcludeSection {
    fn validate(&self) -> Result<(), String> {
        if self.namespaces.is_empty() && self.pod_selector == LabelSelector::default() {
            return Err("names neither namespaces nor a podSelector, and would exclude every pod; \
                        to let every pod pass set `mode: observe`"
                .into());
        }
        for expression in &self.pod_selector.match_expressions {
            let needs_values = matches!(expression.operator, MatchOperator::In | MatchOperator::NotIn);
            if needs_values == expression.values.is_empty() {
                let (key, operator) = (&expression.key, expression.operator);
                let rule = if needs_values { "needs values" } else { "takes no values" };
                return Err(format!("podSelector on {key}: {operator:?} {rule}"));
            }
        }
        Ok(())
    }

    fn exclusion(&self) -> Exclusion {
        let labels = self.pod_selector.match_labels.iter().map(|(key, value)| Requirement::equals(key, value));
        let expressions = self.pod_selector.match_expressions.iter().map(MatchExpression::requirement);
        Exclusion { namespaces: self.namespaces.clone(), labels: labels.chain(expressions).collect() }
    }
}

impl MatchExpression {
    fn requirement(&self) -> Requirement {
        let operator = match self.operator {
            MatchOperator::In => Operator::In(self.values.clone()),
            MatchOperator::NotIn => Operator::NotIn(self.values.clone()),
            MatchOperator::Exists => Operator::Exists,
            MatchOperator::DoesNotExist => Operator::DoesNotExist,
        };
        Requirement { key: self.key.clone(), operator }
    }
}

#[cfg(test)]
mod tests;
