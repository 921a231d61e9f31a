//! Gauges in the format of OpenMetrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;

/// Values of one label that are told apart; what comes after them, in their order, is [`OTHER`].
pub(super) const MAX_VALUES: usize = 64;

/// What is told together.
pub(super) const OTHER: &str = "(other)";

/// Labels with their values.
pub(super) type Labels<const N: usize> = [(&'static str, String); N];

/// Writes a gauge without labels.
pub(super) fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

/// Writes a gauge for each set of labels.
pub(super) fn gauges<V: EncodeGaugeValue, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<N>, V)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

/// The first [`MAX_VALUES`] by key as they are, all others together.
pub(super) fn bounded<K: Ord, V>(
    all: impl IntoIterator<Item = (K, V)>,
    other: K,
    mut join: impl FnMut(&mut V, V),
) -> BTreeMap<K, V> {
    let mut by_key: BTreeMap<K, V> = BTreeMap::new();
    for (key, value) in all {
        match by_key.get_mut(&key) {
            Some(known) => join(known, value),
            None => drop(by_key.insert(key, value)),
        }
    }
    let mut rest: Option<V> = None;
    while by_key.len() > MAX_VALUES {
        let Some((_, last)) = by_key.pop_last() else { break };
        match &mut rest {
            Some(rest) => join(rest, last),
            None => rest = Some(last),
        }
    }
    if let Some(rest) = rest {
        match by_key.get_mut(&other) {
            Some(known) => join(known, rest),
            None => drop(by_key.insert(other, rest)),
        }
    }
    by_key
}

/// Sums, of which the first label has the first [`MAX_VALUES`] values as they are, and all others together.
pub(super) fn bounded_by_first<const N: usize>(sums: BTreeMap<Labels<N>, i64>) -> BTreeMap<Labels<N>, i64> {
    let values: BTreeSet<&str> = sums.keys().map(|labels| labels[0].1.as_str()).collect();
    let kept: BTreeSet<String> = values.into_iter().take(MAX_VALUES).map(str::to_owned).collect();
    let mut bounded = BTreeMap::new();
    for (mut labels, sum) in sums {
        if !kept.contains(&labels[0].1) {
            labels[0].1 = OTHER.to_owned();
        }
        *bounded.entry(labels).or_default() += sum;
    }
    bounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_few_values_and_nothing_is_lost() {
        let add = |sum: &mut usize, more| *sum += more;
        let few = bounded([("a", 1), ("b", 2), ("a", 4)], OTHER, add);
        assert_eq!(few, BTreeMap::from([("a", 5), ("b", 2)]));
        let many: Vec<(String, usize)> = (0..200).map(|at| (format!("pool-{at:03}"), at)).collect();
        let bounded = bounded(many, OTHER.to_owned(), add);
        assert_eq!(bounded.len(), MAX_VALUES + 1);
        assert_eq!(bounded.values().sum::<usize>(), (0..200).sum::<usize>());
        assert_eq!(bounded[OTHER], (MAX_VALUES..200).sum::<usize>());
    }
    #[test]
    fn namespaces_beyond_the_limit_are_told_together() {
        let labels =
            |at: usize, lack: &str| [("namespace", format!("team-{at:03}")), ("autoscalable", lack.to_owned())];
        let sums = (0..100).flat_map(|at| [(labels(at, "true"), 1), (labels(at, "false"), 2)]).collect();
        let bounded = bounded_by_first(sums);
        assert_eq!(bounded.len(), 2 * (MAX_VALUES + 1));
        assert_eq!(bounded[&labels(0, "false")], 2);
        let rest = 100 - MAX_VALUES as i64;
        let other = |lack: &str| bounded[&[("namespace", OTHER.to_owned()), ("autoscalable", lack.to_owned())]];
        assert_eq!((other("true"), other("false")), (rest, 2 * rest));
    }
}
