//! Which gangs a pod says that it belongs to, and whether that is one thing said in several ways.

use testudo_core::model::gang::Dialect;

use super::limits::check_name;
use super::reading::{Reading, Said};
use super::{
    coscheduling, grove, jobset, kai, koordinator, kuberay, kueue, leader_worker_set, native, testudo, volcano,
};

/// That a pod belongs to a gang, in the words of one dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub dialect: Dialect,
    pub name: String,
    /// Where it is said.
    pub field: String,
}

/// What stands behind a dialect.
#[derive(PartialEq, Eq)]
enum Layer {
    /// Somebody says that these pods are a gang.
    Described,
    /// A controller made them together.
    Controller,
    /// They are admitted to a quota together.
    Queue,
}

fn layer(dialect: Dialect) -> Layer {
    match dialect {
        Dialect::LeaderWorkerSet | Dialect::JobSet | Dialect::KubeRay => Layer::Controller,
        Dialect::Kueue => Layer::Queue,
        Dialect::Testudo
        | Dialect::Native
        | Dialect::Coscheduling
        | Dialect::Volcano
        | Dialect::Kai
        | Dialect::Koordinator
        | Dialect::Grove
        | Dialect::Claims => Layer::Described,
    }
}

/// All that is claimed, in order of precedence. Names that are none are told and left out.
pub(super) fn read(reading: &mut Reading<'_, '_>) -> Vec<Claim> {
    let mut claims: Vec<Claim> = vec![];
    let mut add = |dialect, field: String, name: String| claims.push(Claim { dialect, name, field });
    let text = |said: Said<'_>| (said.to_string(), said.text.to_owned());
    if let Some((field, name)) = testudo::group(reading).map(text) {
        add(Dialect::Testudo, field, name);
    }
    if let Some((field, name)) = native::group(reading) {
        add(Dialect::Native, field.to_owned(), name);
    }
    for (dialect, said) in coscheduling::groups(reading)
        .map(|said| (Dialect::Coscheduling, said))
        .chain(volcano::groups(reading).map(|said| (Dialect::Volcano, said)))
        .chain(kai::group(reading).map(|said| (Dialect::Kai, said)))
        .chain(koordinator::group(reading).map(|said| (Dialect::Koordinator, said)))
        .chain(grove::group(reading).map(|said| (Dialect::Grove, said)))
    {
        let (field, name) = text(said);
        add(dialect, field, name);
    }
    if let Some((field, name)) = leader_worker_set::group(reading) {
        add(Dialect::LeaderWorkerSet, field, name);
    }
    for (dialect, said) in jobset::group(reading)
        .map(|said| (Dialect::JobSet, said))
        .into_iter()
        .chain(kuberay::group(reading).map(|said| (Dialect::KubeRay, said)))
        .chain(kueue::group(reading).map(|said| (Dialect::Kueue, said)))
    {
        let (field, name) = text(said);
        add(dialect, field, name);
    }
    claims.retain(|claim| {
        let fault = claim.name.split('/').find_map(|part| check_name(part).err());
        // Only where names are put together does one have a slash.
        let joined = matches!(claim.dialect, Dialect::Native | Dialect::LeaderWorkerSet) || !claim.name.contains('/');
        let fault = fault.or_else(|| (!joined).then(|| format!("{:?} is no name: it has a slash", claim.name)));
        if let Some(what) = &fault {
            reading.nonsense(&claim.field, what);
        }
        fault.is_none()
    });
    claims
}

/// Tells of claims that contradict the one that counts, and returns the others that do not.
pub(super) fn without_contradictions<'c>(
    reading: &mut Reading<'_, '_>,
    counts: &Claim,
    others: &'c [Claim],
) -> Vec<&'c Claim> {
    let made_by_controller = others.iter().any(|claim| layer(claim.dialect) == Layer::Controller);
    let agrees = |other: &Claim| match (layer(counts.dialect), layer(other.dialect)) {
        _ if same_in_substance(&counts.name, &other.name) => true,
        // Pods of a controller that somebody has put into a group, or that wait in a queue, are that as well.
        (Layer::Described, Layer::Controller) | (Layer::Controller, Layer::Queue) => true,
        (Layer::Described, Layer::Queue) => made_by_controller,
        _ => false,
    };
    let (agreeing, contradicting): (Vec<_>, Vec<_>) = others.iter().partition(|other| agrees(other));
    for other in contradicting {
        reading.note(
            &other.field,
            format_args!(
                "names the gang {:?} ({}), but {} names {:?} ({}), which counts",
                other.name,
                other.dialect.group_kind(),
                counts.field,
                counts.name,
                counts.dialect.group_kind(),
            ),
        );
    }
    agreeing.into_iter().filter(|other| other.dialect != counts.dialect).collect()
}

/// A group that is made for another carries its name, with something before or behind it: `pg-train-0b1c` for `train`.
fn same_in_substance(a: &str, b: &str) -> bool {
    let carries = |long: &str, short: &str| {
        long.match_indices(short).any(|(at, _)| {
            let bounded = |neighbour: Option<char>| neighbour.is_none_or(|c| !c.is_ascii_alphanumeric());
            bounded(long[..at].chars().next_back()) && bounded(long[at + short.len()..].chars().next())
        })
    };
    carries(a, b) || carries(b, a)
}
