//! Kubernetes quantities: `500m`, `1.5Gi`, `12e3`.

use std::fmt;

/// An amount of something, exact to a billionth of its unit (the precision of the Kubernetes API).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity {
    nanos: i128,
}

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// There is no digit.
    #[error("quantity {0:?} has no digits")]
    NoDigits(String),
    /// The letters behind the number are none of the known suffixes.
    #[error(
        "quantity {text:?} has the unknown suffix {suffix:?}: use m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or e<n>"
    )]
    UnknownSuffix {
        /// The whole text.
        text: String,
        /// What stands behind the number.
        suffix: String,
    },
    /// The number is larger than the API can express.
    #[error("quantity {0:?} is out of range")]
    OutOfRange(String),
}

const NANOS: i128 = 1_000_000_000;

/// Far above anything the API server stores; it keeps the arithmetic below free of overflow.
const MAX_DIGITS: usize = 30;
const MAX_EXPONENT: i32 = 30;

impl Quantity {
    /// Reads a quantity as `k8s.io/apimachinery/pkg/api/resource` does: sign, decimal number, suffix. What is finer
    /// than a billionth is rounded away from zero.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_len = unsigned.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, suffix) = unsigned.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(QuantityError::NoDigits(text.into()));
        }
        if whole.len() + fraction.len() > MAX_DIGITS {
            return Err(QuantityError::OutOfRange(text.into()));
        }
        let digits = format!("{whole}{fraction}");
        let mantissa: i128 = digits.parse().map_err(|_| QuantityError::OutOfRange(text.into()))?;
        let scale = Scale::parse(suffix)
            .ok_or_else(|| QuantityError::UnknownSuffix { text: text.into(), suffix: suffix.into() })?;
        let nanos =
            scale.apply(mantissa, fraction.len() as u32).ok_or_else(|| QuantityError::OutOfRange(text.into()))?;
        Ok(Self { nanos: if negative { -nanos } else { nanos } })
    }

    /// A whole number of units.
    pub const fn whole(units: i64) -> Self {
        Self { nanos: units as i128 * NANOS }
    }

    /// In units, rounded up, as schedulers count requests. Saturates at the range of `i64`.
    pub fn units(self) -> i64 {
        self.ceil_div(NANOS)
    }

    /// In thousandths of the unit, rounded up: the unit of CPU requests. Saturates at the range of `i64`.
    pub fn millis(self) -> i64 {
        self.ceil_div(NANOS / 1000)
    }

    fn ceil_div(self, divisor: i128) -> i64 {
        let quotient = self.nanos.div_euclid(divisor) + i128::from(self.nanos.rem_euclid(divisor) != 0);
        i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos % NANOS == 0 { write!(f, "{}", self.nanos / NANOS) } else { write!(f, "{}m", self.millis()) }
    }
}

/// The factor a suffix stands for.
enum Scale {
    Decimal(i32),
    Binary(u32),
}

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "" => Self::Decimal(0),
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            "E" => Self::Decimal(18),
            "Ki" => Self::Binary(10),
            "Mi" => Self::Binary(20),
            "Gi" => Self::Binary(30),
            "Ti" => Self::Binary(40),
            "Pi" => Self::Binary(50),
            "Ei" => Self::Binary(60),
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E'])?;
                Self::Decimal(exponent.parse().ok().filter(|e| (-MAX_EXPONENT..=MAX_EXPONENT).contains(e))?)
            }
        })
    }

    /// `mantissa / 10^fraction_digits` times this factor, in nanos, rounded away from zero.
    fn apply(&self, mantissa: i128, fraction_digits: u32) -> Option<i128> {
        let (factor, exponent) = match self {
            Self::Decimal(e) => (1, e + 9 - fraction_digits as i32),
            Self::Binary(shift) => (1i128 << shift, 9 - fraction_digits as i32),
        };
        let scaled = mantissa.checked_mul(factor)?;
        let power = 10i128.checked_pow(exponent.unsigned_abs());
        match (exponent >= 0, power) {
            (true, Some(power)) => scaled.checked_mul(power),
            (true, None) => (scaled == 0).then_some(0),
            (false, Some(power)) => Some(scaled / power + i128::from(scaled % power != 0)),
            (false, None) => Some(i128::from(scaled != 0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(text: &str) -> i64 {
        Quantity::parse(text).unwrap().units()
    }

    #[test]
    fn reads_what_the_api_server_writes() {
        assert_eq!(units("8"), 8);
        assert_eq!(units("1Ki"), 1024);
        assert_eq!(units("1.5Gi"), 1_610_612_736);
        assert_eq!(units("129e6"), 129_000_000);
        assert_eq!(units("129E6"), 129_000_000);
        assert_eq!(units("12E"), 12_000_000_000_000_000_000i128.min(i64::MAX as i128) as i64);
        assert_eq!(units("-3"), -3);
        assert_eq!(units(".5G"), 500_000_000);
        assert_eq!(units("5."), 5);
        assert_eq!(Quantity::parse("500m").unwrap().millis(), 500);
        assert_eq!(Quantity::parse("0.1").unwrap().millis(), 100);
    }

    #[test]
    fn rounds_requests_up() {
        assert_eq!(units("1500m"), 2);
        assert_eq!(Quantity::parse("1u").unwrap().millis(), 1);
        assert_eq!(Quantity::parse("0.0000000001").unwrap(), Quantity::parse("1n").unwrap());
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(Quantity::parse(""), Err(QuantityError::NoDigits(String::new())));
        assert_eq!(Quantity::parse("."), Err(QuantityError::NoDigits(".".into())));
        assert_eq!(Quantity::parse("1.2.3"), Err(QuantityError::NoDigits("1.2.3".into())));
        assert!(matches!(Quantity::parse("8 GPUs"), Err(QuantityError::UnknownSuffix { .. })));
        assert!(matches!(Quantity::parse("1e99"), Err(QuantityError::UnknownSuffix { .. })));
        assert!(matches!(Quantity::parse("1e-2147483648"), Err(QuantityError::UnknownSuffix { .. })));
        assert!(matches!(Quantity::parse(&"9".repeat(40)), Err(QuantityError::OutOfRange(_))));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-+]?[0-9.]{0,40}[a-zA-Z]{0,3}[0-9-]{0,12}") {
            let _ = Quantity::parse(&text).map(|q| (q.units(), q.millis(), q.to_string()));
        }

        #[test]
        fn whole_numbers_come_back(n in any::<i64>()) {
            prop_assert_eq!(Quantity::parse(&n.to_string()).unwrap(), Quantity::whole(n));
            prop_assert_eq!(Quantity::whole(n).units(), n);
        }
    }
}
