//! Sizes and times as people write them in a configuration.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use testudo_core::model::quantity::Quantity;

use crate::k8s::object::QuantityText;

/// `128Mi`, or a bare number of bytes.
pub fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let text = QuantityText::deserialize(deserializer)?;
    let quantity = Quantity::parse(&text.0).map_err(D::Error::custom)?;
    usize::try_from(quantity.units()).map_err(|_| D::Error::custom(format!("{text} is no number of bytes")))
}

/// `500ms`, `1s`, `1m30s`. A bare number is refused: it does not say of what.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = QuantityText::deserialize(deserializer)?;
    humantime::parse_duration(&text.0).map_err(|error| {
        D::Error::custom(format!("{text:?} is no duration such as 500ms, 1s or 1m30s: {error}", text = text.0))
    })
}

/// The same, where it may be left out: give the field a default.
pub fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}
