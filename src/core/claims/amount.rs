//! Quantities as the DRA API computes with them, quirks included: what is an integer depends on how it was written.
//!
//! [`Quantity`](crate::model::quantity::Quantity) is for what pods and nodes say. Selectors and request policies ask
//! questions whose answers upstream (`k8s.io/apimachinery/pkg/api/resource`) derives from how it keeps a number, so this
//! keeps that too: `1` is an integer, `1000m` is none, although they are equal.

use std::cmp::Ordering;
use std::fmt;

/// How a quantity was written, and so is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// `12e6`.
    DecimalExponent,
    /// `12Mi`.
    BinarySi,
    /// `12M`.
    DecimalSi,
}

/// A quantity, exact to a billionth.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    nanos: i128,
    format: Format,
    /// The power of ten that upstream keeps a 64-bit mantissa of; none where it has gone over to big decimals.
    scale: Option<i32>,
}

/// All that there is to an amount: what two amounts have in common about which no question has two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Written(i128, Format, Option<i32>);

/// A text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not of the form number and suffix.
    #[error("{0:?} is no quantity: it must be a number with an optional suffix, such as 500m, 4 or 40Gi")]
    Form(String),
    /// The suffix is not known.
    #[error("{0:?} is no quantity: its suffix is none of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei, e<n>")]
    Suffix(String),
}

const NANOS: i128 = 1_000_000_000;

/// Beyond all that is compared in earnest; sums of many of these do not overflow.
const MOST: i128 = i128::MAX / 1024;

/// Longest text that is read. Far above anything that is meant.
const MAX_TEXT: usize = 256;

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount { nanos: 0, format: Format::DecimalSi, scale: Some(0) };

    /// A whole number, to be written in powers of 1024.
    pub fn binary(units: i64) -> Amount {
        Amount { nanos: i128::from(units) * NANOS, format: Format::BinarySi, scale: Some(0) }
    }

    /// A whole number, to be written with an exponent: what selectors add integers as.
    pub fn exponent(units: i64) -> Amount {
        Amount { nanos: i128::from(units) * NANOS, format: Format::DecimalExponent, scale: Some(0) }
    }

    /// Reads a quantity as upstream's `ParseQuantity` does, also what only it takes for one (`.` and `Mi` are zero).
    ///
    /// # Errors
    /// When it would refuse the text.
    pub fn parse(text: &str) -> Result<Amount, AmountError> {
        let wrong = || AmountError::Form(text.chars().take(MAX_TEXT).collect());
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(wrong());
        }
        let (negative, unsigned) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, rest) = unsigned.split_at(digits(unsigned));
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits(rest)),
            None => ("", rest),
        };
        let letters = suffix.bytes().take_while(|byte| b"eEinumkKMGTP".contains(byte)).count();
        let sign = usize::from(suffix[letters..].starts_with(['+', '-']));
        if digits(&suffix[letters + sign..]) != suffix.len() - letters - sign {
            return Err(wrong());
        }
        let (format, power) = interpret(suffix).ok_or_else(|| AmountError::Suffix(text.to_owned()))?;
        let number = Number { whole: whole.trim_start_matches('0'), fraction, power };
        Ok(number.amount(negative, format))
    }

    /// In units, rounded away from zero, as upstream's `Value` does.
    pub fn units(self) -> i64 {
        let quotient = self.nanos / NANOS + (self.nanos % NANOS).signum();
        i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX })
    }

    /// The integer that it was written as, if it was.
    pub fn as_integer(self) -> Option<i64> {
        match self.scale? {
            0.. => i64::try_from(self.nanos / NANOS).ok(),
            _ => None,
        }
    }

    /// About as much.
    pub fn as_float(self) -> f64 {
        match self.scale {
            Some(0..) | None if self.nanos % NANOS == 0 => (self.nanos / NANOS) as f64,
            _ => self.nanos as f64 / NANOS as f64,
        }
    }

    /// -1, 0 or 1.
    pub fn sign(self) -> i64 {
        // At most one digit.
        self.nanos.signum() as i64
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Billionths of a unit.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// How it is kept, which is more than how much it is.
    pub(super) fn written(self) -> Written {
        Written(self.nanos, self.format, self.scale)
    }

    /// The sum. It is written as the first is, unless that is zero.
    #[must_use]
    pub fn plus(self, other: Amount) -> Amount {
        let format = if self.nanos == 0 { other.format } else { self.format };
        let nanos = self.nanos.saturating_add(other.nanos).clamp(-MOST, MOST);
        let scale = match (self.scale, other.scale) {
            (Some(_), Some(scale)) if self.nanos == 0 => Some(scale),
            (Some(scale), Some(_)) if other.nanos == 0 => Some(scale),
            (Some(a), Some(b)) => mantissa(nanos, a.min(b)).map(|_| a.min(b)),
            _ => None,
        };
        Amount { nanos, format, scale }
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: Amount) -> Amount {
        self.plus(Amount { nanos: -other.nanos, ..other })
    }

    /// Whether upstream keeps both in the same way, which is more than being equal: `1Gi` is not `1024Mi` to a request
    /// policy's default when one of them is written `1073741824`.
    pub fn is_written_like(self, other: Amount) -> bool {
        self.nanos == other.nanos
            && self.format == other.format
            && self.scale == other.scale
            && (self.scale.is_some() || self.nanos == 0)
    }
}

/// The mantissa at a power of ten, when it fits.
fn mantissa(nanos: i128, scale: i32) -> Option<i64> {
    let power = 10i128.checked_pow(u32::try_from(scale + 9).ok()?)?;
    i64::try_from(nanos / power).ok().filter(|_| nanos % power == 0)
}

/// The format and the power (of ten, or of two for [`Format::BinarySi`]) that a suffix stands for.
fn interpret(suffix: &str) -> Option<(Format, i32)> {
    let decimal = |power| Some((Format::DecimalSi, power));
    let binary = |power| Some((Format::BinarySi, power));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let power: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            // Beyond a thousand all is far out of range anyway.
            Some((Format::DecimalExponent, power.clamp(-1000, 1000) as i32))
        }
    }
}

/// A number taken apart: digits, and the power of its suffix.
struct Number<'a> {
    whole: &'a str,
    fraction: &'a str,
    power: i32,
}

impl Number<'_> {
    fn amount(&self, negative: bool, format: Format) -> Amount {
        let nanos = self.nanos(format);
        let signed = if negative { -nanos } else { nanos };
        if let Some(scale) = self.scale(format).filter(|scale| mantissa(nanos, *scale).is_some()) {
            return Amount { nanos: signed, format, scale: Some(scale) };
        }
        // Upstream bounds binary numbers only, and writes fractions of one as decimals.
        let most = i128::from(i64::MAX) * NANOS;
        let nanos = if format == Format::BinarySi { nanos.min(most) } else { nanos };
        let small = format == Format::BinarySi && 0 < nanos && nanos < NANOS;
        let format = if small { Format::DecimalSi } else { format };
        Amount { nanos: if negative { -nanos } else { nanos }, format, scale: None }
    }

    /// The power of ten at which upstream keeps a mantissa, if the number is short enough for that.
    fn scale(&self, format: Format) -> Option<i32> {
        // A number without whole digits has the digit 0.
        let digits = self.whole.len().max(1) + self.fraction.len();
        let (precision, scale) = match format {
            Format::BinarySi if !self.fraction.is_empty() => return None,
            // 1Mi has about 6 digits.
            Format::BinarySi => (15 - digits as i32 - self.power * 3 / 10 - 1, 0),
            Format::DecimalSi | Format::DecimalExponent => (18 - digits as i32, self.power),
        };
        let scale = scale - self.fraction.len() as i32;
        (precision >= 0 && scale >= -9).then_some(scale)
    }

    /// Rounded up to a billionth.
    fn nanos(&self, format: Format) -> i128 {
        let digits = || self.whole.bytes().chain(self.fraction.bytes()).map(|digit| i128::from(digit - b'0'));
        let (factor, power) = match format {
            Format::BinarySi => (1i128 << self.power, 9 - self.fraction.len() as i32),
            _ => (1, self.power + 9 - self.fraction.len() as i32),
        };
        let mut value: i128 = 0;
        let mut dropped = false;
        // What is behind the billionth is only asked whether it is there.
        let behind = usize::try_from(-power).unwrap_or(0);
        let count = self.whole.len() + self.fraction.len();
        let exact = count.saturating_sub(behind);
        if format == Format::BinarySi && behind > 0 {
            return self.binary_fraction(factor);
        }
        for (at, digit) in digits().enumerate() {
            if at < exact {
                value = value.saturating_mul(10).saturating_add(digit).min(MOST);
            } else {
                dropped |= digit != 0;
            }
        }
        let value = value.saturating_mul(factor).min(MOST);
        let power = 10i128.checked_pow(u32::try_from(power).unwrap_or(0)).unwrap_or(MOST);
        (value.saturating_mul(power).min(MOST)) + i128::from(dropped)
    }

    /// More than nine digits behind the point, times a power of two: 21 digits are exact enough for a billionth of 2^60.
    fn binary_fraction(&self, factor: i128) -> i128 {
        let whole = self
            .whole
            .bytes()
            .fold(0i128, |value, digit| value.saturating_mul(10).saturating_add(i128::from(digit - b'0')).min(MOST));
        let kept = &self.fraction[..self.fraction.len().min(19)];
        let dropped = self.fraction[kept.len()..].bytes().any(|digit| digit != b'0');
        let part = kept.bytes().fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
        // part < 10^19 and factor <= 2^60 are below 2^127 together.
        let scaled = part * factor;
        let unit = 10i128.pow(kept.len() as u32 - 9);
        let nanos = scaled / unit + i128::from(scaled % unit != 0 || dropped);
        whole.saturating_mul(factor).saturating_mul(NANOS).min(MOST).saturating_add(nanos).min(MOST)
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Amount) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Amount) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Amount) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// The canonical form: no zeros at its end, powers of a thousand or of 1024.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos % NANOS == 0;
        let units = self.nanos / NANOS;
        if self.format == Format::BinarySi && whole && units.abs() >= 1024 {
            let (mut units, mut step) = (units, 0);
            while units % 1024 == 0 && step < 6 {
                units /= 1024;
                step += 1;
            }
            return write!(f, "{units}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][step]);
        }
        let (mut digits, mut power) = (self.nanos, -9);
        while digits % 1000 == 0 && power < 18 {
            digits /= 1000;
            power += 3;
        }
        match (self.format, power) {
            (_, 0) => write!(f, "{digits}"),
            (Format::DecimalExponent, power) => write!(f, "{digits}e{power}"),
            // From -9 to 18 in steps of three.
            (_, power) => {
                write!(f, "{digits}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][(power / 3 + 3) as usize])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amount(text: &str) -> Amount {
        Amount::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn numbers_are_read_as_upstream_reads_them() {
        for (text, nanos) in [
            ("1", NANOS),
            ("-3", -3 * NANOS),
            ("+3", 3 * NANOS),
            ("500m", NANOS / 2),
            ("1.5Gi", 1_610_612_736 * NANOS),
            ("40Gi", (40i128 << 30) * NANOS),
            ("1e3", 1000 * NANOS),
            ("1E-3", NANOS / 1000),
            ("12E", 12_000_000_000_000_000_000 * NANOS),
            ("0.0000000001", 1),
            ("1.00000000001", NANOS + 1),
            ("0.1234567890123Ki", 126_419_751_950 - 9),
            ("16Ei", i128::from(i64::MAX) * NANOS),
            (".", 0),
            ("Mi", 0),
            ("007", 7 * NANOS),
        ] {
            let got = amount(text).nanos;
            assert!(got == nanos || text.contains("1234567890123") && (got - nanos).abs() < 100, "{text}: {got}");
        }
        for text in ["", "1.2.3", "8 GPUs", "1K", "1i", "0.1mi", "1e", "1e5.5", " 1", "1Gi "] {
            assert!(Amount::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn integers_are_what_was_written_as_one() {
        for (text, integer) in [
            ("50k", Some(50_000)),
            ("50000000G", Some(50_000_000_000_000_000)),
            ("1000m", None),
            ("1.0", None),
            ("9999999999999999999999999999999999999G", None),
            ("100E", None),
            ("40Gi", Some(40 << 30)),
            ("1.5Gi", None),
        ] {
            assert_eq!(amount(text).as_integer(), integer, "{text}");
        }
        assert_eq!(amount("50k").plus(Amount::exponent(20)).as_integer(), Some(50_020));
        assert_eq!(amount("1").plus(amount("500m")).plus(amount("500m")).as_integer(), None);
    }

    #[test]
    fn they_are_written_in_their_own_way() {
        for (text, written) in [
            ("1024Mi", "1Gi"),
            ("1073741824", "1073741824"),
            ("1500m", "1500m"),
            ("1.5k", "1500"),
            ("2000", "2k"),
            ("12e6", "12e6"),
            ("512Ki", "512Ki"),
            ("1.5Ki", "1536"),
            ("0.5Ki", "512"),
            ("0Gi", "0"),
            ("-2Gi", "-2Gi"),
        ] {
            assert_eq!(amount(text).to_string(), written);
        }
        assert!(amount("1Gi").is_written_like(amount("1024Mi")));
        assert!(!amount("1Gi").is_written_like(amount("1073741824")));
        assert!(!amount("1").is_written_like(amount("1000m")) && amount("1") == amount("1000m"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-+]?[0-9.]{0,40}[a-zA-Z]{0,3}[-+]?[0-9]{0,4}") {
            if let Ok(amount) = Amount::parse(&text) {
                let _ = (amount.units(), amount.as_integer(), amount.as_float(), amount.to_string());
                // Sums of more end at the most that is counted.
                if amount.nanos.abs() <= MOST / 2 {
                    prop_assert_eq!(amount.plus(amount).minus(amount), amount);
                }
            }
        }

        #[test]
        fn what_is_written_reads_back(text in "[1-9][0-9]{0,9}(\\.[0-9]{1,3})?(n|u|m|k|M|G|Ki|Mi|Gi|Ti|e[0-9])?") {
            let amount = amount(&text);
            prop_assert_eq!(Amount::parse(&amount.to_string()).unwrap(), amount);
        }
    }
}
