//! Amounts as text become amounts to count with.

use testudo_core::model::quantity::Quantity;
use testudo_core::model::resources::{ResourceName, Resources};

use super::object::QuantityText;

/// Reads amounts: CPU in thousandths, everything else in units, both rounded up as schedulers do. An amount that cannot
/// be read, or is below 0, counts as 0 and is told to `unreadable`.
pub(super) fn amounts<'a>(
    list: impl IntoIterator<Item = (&'a String, &'a QuantityText)>,
    mut unreadable: impl FnMut(&str, String),
) -> Resources {
    list.into_iter()
        .map(|(name, text)| {
            let amount = amount(name, text).unwrap_or_else(|what| {
                unreadable(name, what);
                0
            });
            (ResourceName::from(name.as_str()), amount)
        })
        .collect()
}

fn amount(name: &str, text: &QuantityText) -> Result<i64, String> {
    let quantity = Quantity::parse(&text.0).map_err(|error| error.to_string())?;
    let amount = if name == ResourceName::CPU { quantity.millis() } else { quantity.units() };
    if quantity < Quantity::default() { Err(format!("quantity \"{text}\" is below 0")) } else { Ok(amount) }
}
