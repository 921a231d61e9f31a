//! `scheduler.grove.io`: PodGangs of Grove (NVIDIA Dynamo).

use super::reading::{Reading, Said};

const POD_GANG: &str = "grove.io/podgang";

/// The pod's clique, which is what a PodGang calls a pod group.
pub(super) const POD_CLIQUE: &str = "grove.io/podclique";
/// Its number in the clique.
pub(super) const POD_INDEX: &str = "grove.io/podclique-pod-index";

/// Where the pod names its gang.
pub(super) fn group<'a>(reading: &Reading<'a, '_>) -> Option<Said<'a>> {
    reading.label(POD_GANG)
}
