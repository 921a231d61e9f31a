use std::sync::Arc;

use super::*;
use crate::model::catalogue::Catalogue;
use crate::model::mig::{Layout, LayoutTable, MigGeometry};

struct Product {
    table: LayoutTable,
    shapes: SliceShapes,
}

fn product(family: &str) -> Product {
    let catalogue = Catalogue::builtin();
    let geometry = catalogue.geometries().find(|geometry| geometry.name() == family).expect("a family");
    let table = LayoutTable::new(geometry).expect("a table");
    let shapes = SliceShapes::new(&table).expect("shapes");
    Product { table, shapes }
}

impl Product {
    fn geometry(&self) -> &Arc<MigGeometry> {
        self.table.geometry()
    }

    /// Values by the rule that looks furthest ahead when so many instances of each kind run.
    fn values(&self, running: &[(&str, u32)]) -> SliceValues {
        SliceValues::new(&self.shapes, &self.mix(running), SliceRule::ALL[2])
    }

    fn mix(&self, running: &[(&str, u32)]) -> SliceMix {
        let mut counts = vec![0; self.geometry().profiles().len()];
        for &(kind, count) in running {
            let id = self.geometry().profile_by_kind(kind.parse().expect("a kind")).expect("a profile");
            counts[id.index()] = count;
        }
        SliceMix::of_running(&self.shapes, &counts)
    }

    /// The layout of `1g@0 3g@4`.
    fn layout(&self, text: &str) -> LayoutId {
        let mut layout = Layout::new(Arc::clone(self.geometry()));
        for word in text.split_whitespace() {
            let (kind, start) = word.split_once('@').expect("kind@start");
            let id = self.geometry().profile_by_kind(kind.parse().expect("a kind")).expect("a profile");
            let placement = self.geometry().placement(id, start.parse().expect("a start")).expect("a placement");
            layout.insert(placement).expect("it fits");
        }
        self.table.id(&layout).expect("a layout of the product")
    }

    fn cost(&self, values: &SliceValues, from: &str, to: &str) -> i32 {
        values.cost(self.layout(from), self.layout(to))
    }
}

#[test]
fn gaps_are_filled_where_they_fit_and_empty_gpus_are_kept() {
    let a100 = product("A100-40GB");
    let values = a100.values(&[]);
    let cost = |from, to| a100.cost(&values, from, to);
    // A 3g beside a 4g costs less than on an empty GPU; so does a 1g beside seven slices' worth of others.
    assert!(cost("4g@0", "4g@0 3g@4") < cost("", "3g@4"));
    assert!(cost("4g@0 2g@4", "4g@0 2g@4 1g@6") < cost("4g@0", "4g@0 1g@6"));
    // The only start of a 4g is 0: a 3g at 4 leaves it, a 3g at 0 does not.
    assert!(cost("", "3g@4") < cost("", "3g@0"));
    // A second 1g goes beside the first, not into another pair.
    assert!(cost("1g@4", "1g@4 1g@5") < cost("1g@4", "1g@4 1g@2"));
    // An empty GPU is what a 7g needs: nothing costs more than to take it from that.
    assert!(cost("", "1g@6") > cost("1g@6", "1g@5 1g@6"));
}

#[test]
fn values_follow_the_mix() {
    let a100 = product("A100-40GB");
    // A 4g fits only at 0, so what a 3g at 0 costs more than one at 4 depends on how many 4g are expected.
    let lower = |values: &SliceValues| a100.cost(values, "", "3g@0") - a100.cost(values, "", "3g@4");
    let (with, without) = (a100.values(&[("4g", 300), ("3g", 100)]), a100.values(&[("1g", 300), ("3g", 100)]));
    assert!(lower(&with) > 2 * lower(&without).max(1), "{} {}", lower(&with), lower(&without));
}

#[test]
fn costs_do_not_depend_on_the_way_nor_on_what_is_alike() {
    let a100 = product("A100-40GB");
    let values = a100.values(&[("2g", 30), ("3g", 10)]);
    let cost = |from, to| a100.cost(&values, from, to);
    assert_eq!(cost("", "1g@0") + cost("1g@0", "1g@0 2g@2"), cost("", "2g@2") + cost("2g@2", "1g@0 2g@2"));
    // The first and the second pair of slices are mirror images; media extensions take no slices.
    assert_eq!(cost("2g@4", "2g@4 1g@0"), cost("2g@4", "2g@4 1g@3"));
    assert_eq!(cost("2g@4", "2g@4 1g@0"), cost("2g@4", "2g@4 1g+me@0"));
    assert_eq!(values, a100.values(&[("2g", 30), ("3g", 10)]));
}

#[test]
fn every_product_fills_up_before_it_opens_an_empty_gpu() {
    let catalogue = Catalogue::builtin();
    for geometry in catalogue.geometries() {
        let product = product(geometry.name());
        for rule in SliceRule::ALL {
            let values = SliceValues::new(&product.shapes, &product.mix(&[]), rule);
            let (smallest, _) = geometry.profiles().next().expect("a profile");
            let first = product.table.arrivals_of(LayoutId::EMPTY, smallest).iter().map(|step| (step, LayoutId::EMPTY));
            let cheapest = first.min_by_key(|(step, from)| values.cost(*from, step.to)).expect("it fits").0;
            let next = product.table.arrivals_of(cheapest.to, smallest).iter();
            let second = next.map(|step| values.cost(cheapest.to, step.to)).min().expect("two fit");
            assert!(second < values.cost(LayoutId::EMPTY, cheapest.to), "{}", geometry.name());
        }
    }
}

#[test]
fn values_stay_of_the_order_of_a_gpu_for_lopsided_mixes() {
    for family in ["A100-40GB", "A30-24GB", "RTX-PRO-6000-96GB"] {
        let product = product(family);
        let kinds: Vec<String> = product.geometry().profiles().map(|(_, profile)| profile.kind.to_string()).collect();
        for kind in &kinds {
            let values = product.values(&[(kind, 500)]);
            for id in product.table.ids() {
                let cost = values.cost(LayoutId::EMPTY, id);
                assert!(
                    (-320_000..=320_000).contains(&cost),
                    "{family}, all {kind}: {cost} for {:?}",
                    product.table.layout(id).placements()
                );
            }
        }
    }
}

#[test]
fn the_rule_follows_the_mix() {
    let a100 = product("A100-40GB");
    let rule = |running| SliceRule::choose(&a100.shapes, &a100.mix(running).coarser());
    // Of two profiles of which one is the whole GPU, the small ones only have to be kept together.
    assert_eq!(rule(&[("1g", 430), ("7g", 40)]).outlook, 0);
    // Where all come, those that need much room are kept some.
    assert_eq!(rule(&[("1g", 90), ("1g+2mem", 75), ("2g", 60), ("3g", 30), ("4g", 30), ("7g", 15)]).outlook, 1);
    assert_eq!(rule(&[("2g", 100)]), rule(&[("2g", 100)]));
}

#[test]
fn a_rehearsal_tells_good_values_from_bad_and_whole_gpus_leave_nothing_to_choose() {
    let a100 = product("A100-40GB");
    let filled: Vec<i32> = (0..a100.shapes.steps().len())
        .map(|class| (100.0 * a100.shapes.steps().taken_part(class).powi(2)) as i32)
        .collect();
    let spread: Vec<i32> = filled.iter().map(|value| -value).collect();
    let taken = |running: &[(&str, u32)]| {
        let rehearsal = Rehearsal::new(&a100.shapes, &a100.mix(running));
        [&filled, &spread].map(|values| rehearsal.taken(values))
    };
    let [filled, spread] = taken(&[]);
    assert!(spread * 100 < filled * 80, "{spread} of {filled}");
    let [filled, spread] = taken(&[("7g", 10_000)]);
    assert_eq!(filled, spread);
    // Of 64 GPUs that are asked for at once on average, a loss system takes 91 %: Erlang's formula.
    let asked = (21_000 * 8) as f64;
    assert!((filled as f64 / asked - 0.91).abs() < 0.02, "{}", filled as f64 / asked);
}
