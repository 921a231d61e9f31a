//! Cases from seeds: small clusters, and claims that fit, do not fit, or are wrong, each often.
//!
//! The API server would admit every one of them (a test asks its validation), save those of [`refused`].

mod claims;
mod cluster;
mod config;
mod constraints;
mod devices;
mod dice;
mod expressions;
mod faults;
mod held;
mod partitions;
mod pools;
mod refused;
mod selectors;
mod shares;
mod theme;

use dice::Dice;
pub use expressions::expression;
use theme::Theme;

use crate::case::Case;

/// The case of a seed.
pub fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let theme = Theme::draw(&mut dice);
    assemble(seed, &mut dice, &theme)
}

/// A case with something in it that the API server would refuse.
pub fn refused(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let theme = Theme { refused: true, large: false, ..Theme::draw(&mut dice) };
    assemble(seed, &mut dice, &theme)
}

fn assemble(seed: u64, dice: &mut Dice, theme: &Theme) -> Case {
    let nodes = cluster::nodes(dice);
    let node = pools::any_node(dice, &nodes);
    let classes = cluster::classes(dice, theme);
    let slices = pools::slices(dice, theme, &nodes, &node);
    let held = if theme.held { held::held(dice, &slices) } else { vec![] };
    let mut pending = claims::pending(dice, theme, &slices);
    if theme.refused && dice.chance(40) {
        let place = dice.between(0, pending.len() - 1);
        refused::garble(dice, &mut pending[place]);
    }
    let mut objects: Vec<_> = [nodes, classes, slices, held, pending].concat();
    if dice.chance(10) {
        dice.shuffle(&mut objects);
    }
    Case { seed, objects, node }
}
