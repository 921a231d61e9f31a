//! What a case is about: with everything in every case, nothing would ever fit.

use super::dice::Dice;

/// Which features a case has.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    pub partitions: bool,
    pub shares: bool,
    pub taints: bool,
    pub admin: bool,
    pub binding: bool,
    pub lists: bool,
    pub alternatives: bool,
    pub constraints: bool,
    pub held: bool,
    pub pool_faults: bool,
    pub selectors: bool,
    pub config: bool,
    pub everything: bool,
    /// Selectors that fail on some device, classes that are not there.
    pub errors: bool,
    /// Dozens of devices and more than a claim may have.
    pub large: bool,
    /// Devices of one pool on several nodes.
    pub per_device: bool,
    /// What the API server would refuse.
    pub refused: bool,
}

impl Theme {
    /// Many devices that are all alike: a search through all ways to choose some of them would never end, so there must be
    /// enough of them, and only the limits say no.
    fn of_many_alike(self) -> Self {
        Self {
            partitions: false,
            shares: false,
            taints: false,
            constraints: false,
            held: false,
            pool_faults: false,
            selectors: false,
            errors: false,
            per_device: false,
            ..self
        }
    }

    /// A theme: few features together, often enough each.
    pub fn draw(dice: &mut Dice) -> Self {
        // Lists differ from other attributes in constraints, and hardly elsewhere.
        let lists = dice.chance(15);
        let theme = Self {
            partitions: dice.chance(30),
            shares: dice.chance(28),
            taints: dice.chance(20),
            admin: dice.chance(12),
            binding: dice.chance(12),
            lists,
            alternatives: dice.chance(28),
            constraints: dice.chance(if lists { 70 } else { 30 }),
            held: dice.chance(38),
            pool_faults: dice.chance(20),
            selectors: dice.chance(45),
            config: dice.chance(20),
            everything: dice.chance(16),
            errors: dice.chance(12),
            large: dice.chance(4),
            per_device: dice.chance(18),
            refused: false,
        };
        if theme.large { theme.of_many_alike() } else { theme }
    }
}
