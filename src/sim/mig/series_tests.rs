use testudo_core::model::catalogue::Catalogue;

use super::*;
use crate::sim::mig::Mix;

fn churn(mix: &str) -> Churn {
    let catalogue = Catalogue::builtin();
    let geometry = catalogue.geometries().find(|geometry| geometry.name() == "A100-40GB").expect("a family");
    let mut churn = Churn::new(geometry, Mix::parse(mix, geometry).expect("a mix")).expect("a table");
    (churn.gpus, churn.horizon, churn.warmup) = (10, 20.0, 5.0);
    churn
}

#[test]
fn watching_changes_nothing_and_the_last_points_agree_with_the_outcome() {
    let churn = churn("1g=1,3g=1,7g=1");
    let (outcome, series) = recorded(&churn, PolicyKind::Spread, 3);
    assert_eq!(outcome, churn.run(PolicyKind::Spread, 3));
    assert!((100..=POINTS).contains(&series.len()), "{}", series.len());
    assert!(series.windows(2).all(|pair| pair[0].at < pair[1].at) && series.iter().all(|point| point.at < 20.0));
    let warm: Vec<&Point> = series.iter().filter(|point| point.at >= 5.0).collect();
    let mean = warm.iter().map(|point| point.allocated_percent).sum::<f64>() / warm.len() as f64;
    assert!((mean - outcome.allocated_percent).abs() < 3.0, "{mean}, {}", outcome.allocated_percent);
    let cold = series.iter().filter(|point| point.at < 5.0);
    assert!(cold.clone().count() > 10 && cold.into_iter().all(|point| point.rejected_by_fragmentation_percent == 0.0));
    let last = series.last().expect("points").rejected_by_fragmentation_percent;
    assert!(last > 0.0 && (last - outcome.rejected_by_fragmentation_percent()).abs() < 2.0, "{last}, {outcome:?}");
}

#[test]
fn spread_leaves_no_whole_gpu_and_nothing_is_lost_to_the_smallest() {
    let (_, series) = recorded(&churn("1g=.8,7g=.2"), PolicyKind::Spread, 1);
    for point in series.iter().filter(|point| point.at > 5.0) {
        let free = 100.0 - point.allocated_percent;
        let of = |kind: &str| point.fragmentation_by_profile[kind];
        // An instance with one compute slice cannot have the eighth memory slice.
        assert!(of("1g") <= 12.5 && of("1g") <= of("7g") && of("7g") <= free + 1e-9, "{point:?}");
        let mixed = 0.8 * of("1g") + 0.2 * of("7g");
        assert!((point.fragmentation_percent.expect("measured") - mixed).abs() < 1e-9, "{point:?}");
    }
    assert!(series.iter().any(|point| point.fragmentation_by_profile["7g"] > 20.0));
}

#[test]
fn a_pool_is_never_fragmented() {
    let (_, series) = recorded(&churn("1g=1,7g=1"), PolicyKind::Pool, 1);
    assert!(series.iter().all(|point| point.fragmentation_percent == Some(0.0) && point.allocated_percent <= 100.0));
    assert!(series.iter().any(|point| point.allocated_percent > 50.0));
}
