//! Numbers with a point, as Go reads and writes them; and as `golang.org/x/text` writes them for the USA, which is what
//! `format` upstream uses.

/// What stands for a number that is infinite.
const INFINITY: &str = "\u{221e}";

const SUPERSCRIPTS: [char; 10] =
    ['\u{2070}', '\u{b9}', '\u{b2}', '\u{b3}', '\u{2074}', '\u{2075}', '\u{2076}', '\u{2077}', '\u{2078}', '\u{2079}'];

/// What Go says where the number that goes with a verb is too long to be read.
const NO_VERB: &str = "%!(NOVERB)";

/// Reads a number: digits may be grouped by underscores; one that is too large is none, nor is what is no number with a
/// sign. (Go also reads hexadecimal digits.)
pub(super) fn parse(text: &str) -> Option<f64> {
    let is_digit = |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
    if text.match_indices('_').any(|(at, _)| !is_digit(at.checked_sub(1)) || !is_digit(Some(at + 1))) {
        return None;
    }
    let value: f64 = text.replace('_', "").parse().ok()?;
    let is_right = if value.is_nan() { text.len() == 3 } else { value.is_finite() || !text.contains(char::is_numeric) };
    is_right.then_some(value)
}

/// As `%g`: by the digits that tell it from its neighbours, with an exponent where it is large or small.
pub(super) fn general(value: f64) -> String {
    if !value.is_finite() {
        return special(value).to_owned();
    }
    let (mantissa, exponent) = shortest(value);
    match exponent {
        -4..6 => plain(value),
        _ => format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

/// By the digits that tell a finite number from its neighbours, however large or small it is.
pub(super) fn plain(value: f64) -> String {
    let (sign, value) = if value.is_sign_negative() { ("-", -value) } else { ("", value) };
    let (mantissa, exponent) = shortest(value);
    let digits = mantissa.replace('.', "");
    match usize::try_from(exponent) {
        Ok(exponent) if exponent + 1 < digits.len() => {
            let (whole, fraction) = digits.split_at(exponent + 1);
            format!("{sign}{whole}.{fraction}")
        }
        Ok(exponent) => format!("{sign}{digits:0<width$}", width = exponent + 1),
        Err(_) => {
            let zeros = exponent.unsigned_abs() as usize - 1;
            format!("{sign}0.{:0<zeros$}{digits}", "")
        }
    }
}

/// A finite number by the digits that tell it from its neighbours, one before the point, and the power of ten. Of two
/// texts that are as near the even one is taken, as by Go.
fn shortest(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    let digits = text.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let even = format!("{value:.*e}", digits.saturating_sub(1));
    let text = if even.parse() == Ok(value) { even } else { text };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.to_owned(), exponent.parse().unwrap_or(0))
}

/// As `%.6f`.
pub(super) fn fixed(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { special(value).to_owned() }
}

fn special(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

/// With thousands set apart by commas, and so many digits after the point.
pub(super) fn grouped(value: f64, precision: u64) -> String {
    if is_unreadable(precision) {
        return NO_VERB.to_owned();
    }
    let (sign, value) = split_sign(value);
    if !value.is_finite() {
        return non_finite(sign, value);
    }
    // Upstream keeps the precision twice: in 16 bits for rounding, in eight for the zeros that are added. Where the former
    // is negative, nothing is rounded. Nothing follows after 1100 digits.
    let digits = match precision as i16 {
        0.. => format!("{value:.*}", usize::from(precision as u16).min(1100)),
        _ => plain(value),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let (fraction, zeros) = (fraction.trim_end_matches('0'), usize::from(precision as u8));
    let mut text = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if zeros > 0 || !fraction.is_empty() {
        text += &format!(".{fraction:0<zeros$}");
    }
    text
}

/// With one digit before the point, six after it, and a power of ten; set to the right of so many characters. (Upstream
/// takes for a width what is meant to be a precision.)
pub(super) fn scientific(value: f64, width: u64) -> String {
    if is_unreadable(width) {
        return NO_VERB.to_owned();
    }
    let (sign, value) = split_sign(value);
    let text = if value.is_finite() { format!("{sign}{}", power(value)) } else { non_finite(sign, value) };
    // Upstream keeps the width in 16 bits.
    format!("{text:>width$}", width = usize::from(width as u16))
}

fn power(value: f64) -> String {
    let digits = format!("{value:.6e}");
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let (minus, exponent) = exponent.strip_prefix('-').map_or(("", exponent), |exponent| ("\u{207b}", exponent));
    let raised = |digit: char| digit.to_digit(10).map_or(digit, |digit| SUPERSCRIPTS[digit as usize]);
    let exponent: String = format!("{exponent:0>2}").chars().map(raised).collect();
    format!("{mantissa}\u{d7}10{minus}{exponent}")
}

fn non_finite(sign: &str, value: f64) -> String {
    if value.is_nan() { "NaN".to_owned() } else { format!("{sign}{INFINITY}") }
}

/// Zero has no sign.
fn split_sign(value: f64) -> (&'static str, f64) {
    if value < 0.0 { ("-", -value) } else { ("", value.abs()) }
}

/// Whether the number that goes with a verb has one digit more than are read.
fn is_unreadable(number: u64) -> bool {
    number / 10 > 1_000_000
}
