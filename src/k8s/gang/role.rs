//! Which role of its gang a pod has, from whatever label says it.

use testudo_core::model::gang::{Dialect, Role};

use super::reading::Reading;
use super::{grove, jobset, kai, kuberay, kueue, leader_worker_set, volcano};

/// Whose word for roles goes first for a gang of this dialect: its object speaks of roles in these words.
pub(super) fn of(reading: &Reading<'_, '_>, gang: Dialect) -> Role {
    let own = in_words_of(reading, gang);
    let others = [
        Dialect::Kai,
        Dialect::Grove,
        Dialect::Volcano,
        Dialect::LeaderWorkerSet,
        Dialect::JobSet,
        Dialect::KubeRay,
        Dialect::Kueue,
    ];
    own.or_else(|| others.into_iter().find_map(|dialect| in_words_of(reading, dialect)))
        .or_else(|| reading.label("training.kubeflow.org/replica-type").map(|said| said.text))
        .unwrap_or_default()
        .into()
}

fn in_words_of<'a>(reading: &Reading<'a, '_>, dialect: Dialect) -> Option<&'a str> {
    let said = match dialect {
        Dialect::Kai => reading.label(kai::SUBGROUP),
        Dialect::Grove => reading.label(grove::POD_CLIQUE),
        Dialect::Volcano => reading.either(volcano::TASK),
        Dialect::LeaderWorkerSet => return leader_worker_set::role(reading),
        Dialect::JobSet => reading.label(jobset::REPLICATED_JOB),
        Dialect::KubeRay => reading.label(kuberay::GROUP),
        Dialect::Kueue => reading.label(kueue::PODSET),
        Dialect::Testudo | Dialect::Native | Dialect::Coscheduling | Dialect::Koordinator | Dialect::Claims => None,
    };
    said.map(|said| said.text).filter(|text| !text.is_empty())
}
