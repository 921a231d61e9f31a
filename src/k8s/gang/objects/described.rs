//! A group object that is being read.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use testudo_core::model::gang::{Role, Terms};
use testudo_core::model::pod::{Demand, Stage};

use super::super::super::object::{self, Metadata, PodSpec, null_as_default};
use super::super::super::pod;
use super::super::super::problem::{Problem, Report};
use super::super::limits::MEMBERS;
use super::super::reading::Reading;
use super::super::testudo::{self, Ours};

/// The template that a controller makes pods from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodTemplate {
    #[serde(deserialize_with = "null_as_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "null_as_default")]
    spec: PodSpec,
}

/// An object, and what is wrong with it.
pub(super) struct Described<'a> {
    kind: &'a str,
    pub metadata: &'a Metadata,
    problems: Vec<Problem>,
}

impl<'a> Described<'a> {
    pub(super) fn of(kind: &'a str, metadata: &'a Metadata) -> Self {
        Self { kind, metadata, problems: vec![] }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The spec as this type.
    pub(super) fn spec<T: DeserializeOwned + Default>(&self, spec: &Value) -> Result<T, String> {
        let spec: Option<T> = Deserialize::deserialize(spec).map_err(|error: serde_json::Error| error.to_string())?;
        Ok(spec.unwrap_or_default())
    }

    /// Something is ignored; the object works without it.
    pub(super) fn note(&mut self, field: impl fmt::Display, what: impl fmt::Display) {
        self.tell(|report| report.note(field, what));
    }

    /// Something that is asked for cannot be kept: no member is placed.
    pub(super) fn refuse(&mut self, field: impl fmt::Display, what: impl fmt::Display) {
        self.tell(|report| report.block(field, format_args!("{what}; its pods are not placed")));
    }

    fn tell(&mut self, tell: impl FnOnce(&mut Report<'_>)) {
        let mut report = Report::on(self.kind, self.metadata);
        tell(&mut report);
        self.problems.extend(report.into_problems());
    }

    /// A number of members that can be.
    pub(super) fn members(&mut self, field: impl fmt::Display, number: i64) -> u32 {
        let most = *MEMBERS.end();
        let members = u32::try_from(number).ok().filter(|members| *members <= most);
        members.unwrap_or_else(|| {
            self.refuse(field, format_args!("{number} is no number of pods from 0 to {most}"));
            most
        })
    }

    /// What is said in our words on the object itself.
    pub(super) fn ours(&mut self) -> Ours {
        let pod = object::Pod { metadata: self.metadata.clone(), ..object::Pod::default() };
        let mut report = Report::on(self.kind, self.metadata);
        let ours = Ours::read(&mut Reading::of(&pod, true, &mut report));
        self.problems.extend(report.into_problems());
        ours
    }

    /// What pods from the template at `path` will ask for. What it says in our words is added to the terms, as if a pod
    /// of this role had said it.
    pub(super) fn template(
        &mut self,
        path: &str,
        template: &PodTemplate,
        terms: &mut Terms,
    ) -> (Arc<Demand>, Option<Role>) {
        let pod = object::Pod {
            metadata: Metadata { namespace: self.metadata.namespace.clone(), ..template.metadata.clone() },
            spec: template.spec.clone(),
            ..object::Pod::default()
        };
        let mut report = Report::within(self.kind, self.metadata, &format!("{path}."));
        let ours = Ours::read(&mut Reading::of(&pod, true, &mut report));
        let demand = pod::demand(&pod, &Stage::Pending, &mut report);
        let role = ours.role.clone();
        // Otherwise it is said of another gang, which the pods will join.
        if testudo::group(&Reading::of(&pod, true, &mut report)).is_none() {
            ours.overrule(terms);
        }
        self.problems.extend(report.into_problems());
        (Arc::new(demand), role)
    }
}
