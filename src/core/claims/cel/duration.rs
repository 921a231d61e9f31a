//! Durations, in nanoseconds, written as Go writes them.

use super::code::Function;
use super::decimal;
use super::fault::{Eval, Fault};
use super::functions::{none, overflow};
use super::timestamp::{self, Field};
use super::value::Value;

const SECOND: i64 = 1_000_000_000;

/// Units; both letters that stand for a millionth are understood.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

/// The function of a name that is about durations, if it is one. Some ask timestamps for the same.
pub(super) fn named(name: &str) -> Option<Function> {
    Some(match name {
        "duration" => |args| match args {
            [Value::Duration(nanos)] => Ok(Value::Duration(*nanos)),
            [Value::String(text)] => {
                let wrong = || Fault::Value(format!("type conversion error: {text:?} is no duration"));
                parse(text).map(Value::Duration).ok_or_else(wrong)
            }
            args => none("duration", args),
        },
        "getHours" => |args| part("getHours", args, 3600 * SECOND, Field::Hours),
        "getMinutes" => |args| part("getMinutes", args, 60 * SECOND, Field::Minutes),
        "getSeconds" => |args| part("getSeconds", args, SECOND, Field::Seconds),
        "getMilliseconds" => |args| part("getMilliseconds", args, SECOND / 1_000, Field::Milliseconds),
        _ => return None,
    })
}

/// How a duration is written: in seconds.
pub(super) fn text(nanos: i64) -> String {
    let (whole, rest) = (nanos / SECOND, nanos % SECOND);
    // As Go adds them, with what rounding that brings.
    format!("{}s", decimal::plain(whole as f64 + rest as f64 / 1e9))
}

/// The sum, or the difference.
pub(super) fn combined(a: i64, b: i64, combine: fn(i64, i64) -> Option<i64>) -> Eval<Value> {
    combine(a, b).map(Value::Duration).ok_or_else(overflow)
}

fn part(name: &str, args: &[Value], unit: i64, field: Field) -> Eval<Value> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        args => timestamp::part(name, args, field),
    }
}

/// As `time.ParseDuration` of Go: a sign, then numbers with units.
fn parse(text: &str) -> Option<i64> {
    let (is_negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos: i128 = 0;
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(digits(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        // A unit ends where the next number begins.
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == &after[..end])?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
        nanos += whole * i128::from(unit) + part_of(fraction, unit);
        if nanos > i128::from(i64::MAX) + i128::from(is_negative) {
            return None;
        }
        rest = &after[end..];
        if rest.is_empty() {
            return i64::try_from(if is_negative { -nanos } else { nanos }).ok();
        }
    }
}

/// A decimal fraction of a unit, cut off below a nanosecond. More digits than count are read and forgotten.
fn part_of(fraction: &str, unit: i64) -> i128 {
    let counts = &fraction[..fraction.len().min(18)];
    let number: i128 = counts.parse().unwrap_or(0);
    number * i128::from(unit) / 10i128.pow(counts.len() as u32)
}
