//! `gang.scheduling.koordinator.sh`: gangs of Koordinator, which need no object: everything stands on the pods.

use std::collections::BTreeSet;
use std::time::Duration;

use testudo_core::model::gang::{Role, RoleTerms, Terms};

use super::super::object::Metadata;
use super::limits::{MEMBERS, ROLES, check_name};
use super::reading::{Reading, Said};

const NAME: &str = "gang.scheduling.koordinator.sh/name";
const MIN_AVAILABLE: &str = "gang.scheduling.koordinator.sh/min-available";
const TOTAL_NUMBER: &str = "gang.scheduling.koordinator.sh/total-number";
const WAITING_TIME: &str = "gang.scheduling.koordinator.sh/waiting-time";
pub(super) const GROUPS: &str = "gang.scheduling.koordinator.sh/groups";

/// Where the pod names its gang.
pub(super) fn group<'a>(reading: &Reading<'a, '_>) -> Option<Said<'a>> {
    reading.annotation(NAME)
}

/// The gangs that start only together, this one among them: a gang of gangs. Each is a role of it.
pub(super) fn bundle(reading: &mut Reading<'_, '_>, own: &str) -> Option<BTreeSet<String>> {
    let said = reading.annotation(GROUPS).filter(|said| !said.text.trim().is_empty())?;
    let namespace = reading.pod.metadata.namespace.clone();
    let mut gangs = reading.accept(said, parse_bundle(said.text, &namespace))?;
    gangs.insert(own.to_owned());
    (gangs.len() > 1).then_some(gangs)
}

/// Does a PodGroup say that it starts only together with others? Only pods are asked of which bundle they are.
pub(super) fn names_others(group: &Metadata) -> bool {
    let said = group.annotations.get(GROUPS).filter(|text| !text.trim().is_empty());
    said.is_some_and(|text| {
        parse_bundle(text, &group.namespace).map_or(true, |gangs| gangs.iter().any(|gang| *gang != group.name))
    })
}

fn parse_bundle(text: &str, namespace: &str) -> Result<BTreeSet<String>, String> {
    let ids: Vec<String> = serde_json::from_str(text)
        .map_err(|_| format!("{text:?} is no list of gangs such as [\"{namespace}/a\", \"{namespace}/b\"]"))?;
    if ids.len() > ROLES {
        return Err(format!("names more than {ROLES} gangs"));
    }
    let own = |id: &String| match id.split_once('/') {
        Some((of, name)) if of == namespace => check_name(name).map(|()| name.to_owned()),
        _ => Err(format!("{id:?} is no gang of the namespace {namespace}, and gangs are planned inside of one")),
    };
    ids.iter().map(own).collect()
}

/// What the pod says of the gang, or of its part of a bundle.
pub(super) fn terms(reading: &mut Reading<'_, '_>, own: &str, bundle: Option<&BTreeSet<String>>) -> Terms {
    let min_member = reading.number(reading.annotation(MIN_AVAILABLE), MEMBERS);
    let total = reading.number(reading.annotation(TOTAL_NUMBER), MEMBERS);
    let waiting = reading.annotation(WAITING_TIME).and_then(|said| reading.accept(said, waiting_time(said.text)));
    let hold_timeout_ms = waiting.and_then(|time| u64::try_from(time.as_millis()).ok()).filter(|ms| *ms > 0);
    let Some(bundle) = bundle else { return Terms { min_member, total, hold_timeout_ms, ..Terms::default() } };
    // How many there must be of the others their own pods say; that there must be some is known from here.
    let some = RoleTerms { min_member: Some(1), ..RoleTerms::default() };
    let mut roles: std::collections::BTreeMap<Role, RoleTerms> =
        bundle.iter().map(|gang| (gang.as_str().into(), some.clone())).collect();
    roles.insert(own.into(), RoleTerms { min_member: min_member.or(Some(1)), total, ..RoleTerms::default() });
    Terms { roles, hold_timeout_ms, ..Terms::default() }
}

fn waiting_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map_err(|_| format!("{text:?} is no time such as 600s or 10m"))
}
