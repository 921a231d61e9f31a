//! Which profiles arrive, and how often.

use testudo_core::model::mig::{MigGeometry, ProfileId, ProfileKind};
use thiserror::Error;

/// Probabilities of profiles, which sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix(Vec<(ProfileId, f64)>);

/// A text that is no mix of a product.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum MixError {
    /// No `kind=weight`.
    #[error("{0:?} is not of the form <profile>=<weight>, such as 3g=.2")]
    Form(String),
    /// Not a kind, or not one of this product.
    #[error("{geometry} has no profile {text:?}; it has {known}")]
    Profile {
        /// What was written.
        text: String,
        /// The product.
        geometry: String,
        /// Its profiles.
        known: String,
    },
    /// Named twice.
    #[error("profile {0:?} is named twice")]
    Twice(String),
    /// Not a number above 0, or beyond all reason.
    #[error("weight {0:?} is not a number above 0 and at most 1000000")]
    Weight(String),
}

impl Mix {
    /// Reads `1g=.2,1g+2mem=.2,3g=.6` against the profiles of a product, which may also be called as the driver does
    /// (`1g.5gb`). Weights need not sum to 1: each counts as a share of their sum.
    ///
    /// # Errors
    /// When a part is not of that form or names no profile of the product; the error quotes it.
    pub fn parse(text: &str, geometry: &MigGeometry) -> Result<Mix, MixError> {
        let mut weights: Vec<(ProfileId, f64)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (name, weight) = part.split_once('=').ok_or_else(|| MixError::Form(part.to_owned()))?;
            let (name, weight) = (name.trim(), weight.trim());
            let known = || geometry.profiles().map(|(_, p)| p.kind.to_string()).collect::<Vec<_>>().join(", ");
            let kind = name.parse::<ProfileKind>().ok();
            let id = kind.and_then(|kind| geometry.profile_by_kind(kind)).or_else(|| geometry.profile_by_name(name));
            let id = id.ok_or_else(|| MixError::Profile {
                text: name.to_owned(),
                geometry: geometry.name().to_owned(),
                known: known(),
            })?;
            if weights.iter().any(|&(other, _)| other == id) {
                return Err(MixError::Twice(name.to_owned()));
            }
            let number = weight.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= 1e6);
            weights.push((id, number.ok_or_else(|| MixError::Weight(weight.to_owned()))?));
        }
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        Ok(Mix(weights.into_iter().map(|(id, weight)| (id, weight / total)).collect()))
    }

    /// The profiles with their probabilities.
    pub fn shares(&self) -> &[(ProfileId, f64)] {
        &self.0
    }

    /// As [`Mix::parse`] reads it, with shares that sum to 1.
    pub fn describe(&self, geometry: &MigGeometry) -> String {
        let share = |share: f64| (share * 1e4).round() / 1e4;
        let parts = self.0.iter().map(|&(id, part)| format!("{}={}", geometry.profile(id).kind, share(part)));
        parts.collect::<Vec<_>>().join(",")
    }

    /// Memory slices of the average arrival.
    pub fn mean_size(&self, geometry: &MigGeometry) -> f64 {
        self.0.iter().map(|&(id, share)| share * f64::from(geometry.profile(id).size)).sum()
    }

    /// The profile for a number from 0 to below 1.
    pub(super) fn pick(&self, unit: f64) -> ProfileId {
        let mut below = 0.0;
        let found = self.0.iter().find(|(_, share)| {
            below += share;
            unit < below
        });
        // Rounding may leave the sum a little below 1.
        found.or(self.0.last()).expect("a mix has a profile").0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testudo_core::model::catalogue::Catalogue;

    #[test]
    fn mixes_are_read_or_refused_with_the_reason() {
        let catalogue = Catalogue::builtin();
        let geometry = catalogue.geometries().next().expect("a geometry");
        let mix = Mix::parse("1g=1, 3g = 3", geometry).expect("a mix");
        let shares: Vec<f64> = mix.shares().iter().map(|(_, share)| *share).collect();
        assert_eq!((shares, mix.mean_size(geometry)), (vec![0.25, 0.75], 3.25));
        let [one, three] = [mix.shares()[0].0, mix.shares()[1].0];
        assert_eq!(mix.describe(geometry), "1g=0.25,3g=0.75");
        assert_eq!(Mix::parse("1g.5gb=1,3g.20gb=3", geometry), Ok(mix.clone()), "{}", geometry.name());
        assert_eq!([0.0, 0.249, 0.25, 0.999].map(|unit| mix.pick(unit)), [one, one, three, three]);
        for (text, message) in [
            ("", "\"\" is not of the form <profile>=<weight>, such as 3g=.2"),
            ("1g", "\"1g\" is not of the form <profile>=<weight>, such as 3g=.2"),
            ("5g=1", "A100-40GB has no profile \"5g\"; it has 1g, 1g+me, 1g+2mem, 2g, 3g, 4g, 7g"),
            ("1g=1,1g=2", "profile \"1g\" is named twice"),
            ("1g.5gb=1,1g=2", "profile \"1g\" is named twice"),
            ("1g=-1", "weight \"-1\" is not a number above 0 and at most 1000000"),
            ("1g=NaN", "weight \"NaN\" is not a number above 0 and at most 1000000"),
            ("1g=1e308,3g=1e308", "weight \"1e308\" is not a number above 0 and at most 1000000"),
        ] {
            assert_eq!(Mix::parse(text, geometry).map_err(|error| error.to_string()), Err(message.to_owned()));
        }
    }
}
