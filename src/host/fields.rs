//! What log lines and spans are about, in fields of the same names everywhere: `pod` and `gang`.

use testudo_core::model::gang::GangKey;
use testudo_core::model::pod::Pod;
use tracing::Span;
use tracing::field::{DisplayValue, display};

/// The gang of a pod, if it is of one.
pub(super) fn gang(pod: &Pod) -> Option<DisplayValue<&GangKey>> {
    pod.membership.as_ref().map(|membership| display(&membership.gang))
}

/// Notes on the span of the call that it is about this pod.
pub(super) fn note_on_span(pod: &Pod) {
    let span = Span::current();
    span.record("pod", display(&pod.key));
    span.record("gang", gang(pod));
}
