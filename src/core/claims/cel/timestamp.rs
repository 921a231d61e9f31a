//! Timestamps, as `time` of Go reads and writes them (RFC 3339), and the calendar.
//!
//! Zones are UTC and fixed offsets; the database of the others is not here.

use std::cmp::Ordering;

use super::code::Function;
use super::fault::{Eval, Fault};
use super::functions::{none, overflow};
use super::value::Value;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// The first second of the year 1 and the last of the year 9999, since 1970: there are no timestamps outside.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// A point in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timestamp {
    /// Since 1970.
    seconds: i64,
    /// Of the second that has begun.
    nanos: i64,
    /// Of the zone in which it was written, in seconds east of UTC: that is how it is written again.
    offset: i64,
}

/// What can be asked of a timestamp.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Year,
    /// From 0 on, as are the days of year, month and week.
    Month,
    DayOfYear,
    DayOfMonth,
    /// The day of the month from 1 on.
    Date,
    /// Sunday is the first.
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// The function of a name that is about timestamps only, if it is one.
pub(super) fn named(name: &str) -> Option<Function> {
    Some(match name {
        "timestamp" => |args| match args {
            [Value::Timestamp(at)] => Ok(Value::Timestamp(*at)),
            [Value::Int(seconds)] => Timestamp::checked(*seconds, 0, 0).map(Value::Timestamp),
            [Value::String(text)] => Timestamp::parse(text).map(Value::Timestamp),
            args => none("timestamp", args),
        },
        "getFullYear" => |args| part("getFullYear", args, Field::Year),
        "getMonth" => |args| part("getMonth", args, Field::Month),
        "getDayOfYear" => |args| part("getDayOfYear", args, Field::DayOfYear),
        "getDayOfMonth" => |args| part("getDayOfMonth", args, Field::DayOfMonth),
        "getDate" => |args| part("getDate", args, Field::Date),
        "getDayOfWeek" => |args| part("getDayOfWeek", args, Field::DayOfWeek),
        _ => return None,
    })
}

/// A part of a timestamp, in UTC or in a zone that is named.
pub(super) fn part(name: &str, args: &[Value], field: Field) -> Eval<Value> {
    match args {
        [Value::Timestamp(at)] => Ok(Value::Int(at.field(field, 0))),
        [Value::Timestamp(at), Value::String(zone)] => Ok(Value::Int(at.field(field, offset(zone)?))),
        args => none(name, args),
    }
}

/// How far a zone is east of UTC, in seconds. What is no name is read as `HH:MM` by plain numbers, of any size; what that
/// gives for the absurd is what Go's integers give when they overflow.
fn offset(zone: &str) -> Eval<i64> {
    let Some((hours, minutes)) = zone.split_once(':') else {
        // The scheduler's own zone is that of its container, which has none.
        return match zone {
            "" | "UTC" | "Local" => Ok(0),
            _ => Err(Fault::Value(format!("unknown time zone {zone}"))),
        };
    };
    let number = |text: &str| text.parse::<i64>().map_err(|_| Fault::Value(format!("{zone:?} is no time zone")));
    let (hours, minutes) = (number(hours)?.wrapping_mul(60), number(minutes)?);
    let minutes = if zone.starts_with('-') { hours.wrapping_sub(minutes) } else { hours.wrapping_add(minutes) };
    let nanos = minutes.wrapping_mul(60 * SECOND);
    Ok((nanos / SECOND) as f64 + (nanos % SECOND) as f64 / 1e9).map(|seconds| seconds as i64)
}

impl Timestamp {
    fn checked(seconds: i64, nanos: i64, offset: i64) -> Eval<Timestamp> {
        if (FIRST..=LAST).contains(&seconds) {
            Ok(Timestamp { seconds, nanos, offset })
        } else {
            Err(Fault::value("timestamp overflow"))
        }
    }

    fn parse(text: &str) -> Eval<Timestamp> {
        let parts = Reader(text.as_bytes()).date_time();
        let wrong = || Fault::Value(format!("type conversion error: {text:?} is no timestamp"));
        let (seconds, nanos, offset) = parts.ok_or_else(wrong)?;
        Timestamp::checked(seconds, nanos, offset)
    }

    /// Seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Whether it is the start of the year 1, which is Go's zero.
    pub fn is_zero(self) -> bool {
        self.seconds == FIRST && self.nanos == 0
    }

    /// What is later by a duration, in nanoseconds.
    pub fn plus(self, nanos: i64) -> Eval<Timestamp> {
        let (seconds, nanos) = (self.seconds + nanos / SECOND, self.nanos + nanos % SECOND);
        Timestamp::checked(seconds + nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND), self.offset)
    }

    /// What is earlier by a duration, in nanoseconds.
    pub fn minus(self, nanos: i64) -> Eval<Timestamp> {
        self.plus(nanos.checked_neg().ok_or_else(overflow)?)
    }

    /// How long it is since another, in nanoseconds.
    pub fn since(self, other: Timestamp) -> Eval<i64> {
        // As upstream, which fails when the seconds alone are too many, also where the rest would make up for it.
        let seconds = (self.seconds - other.seconds).checked_mul(SECOND);
        seconds.and_then(|nanos| nanos.checked_add(self.nanos - other.nanos)).ok_or_else(overflow)
    }

    /// A part of it, in a zone that is so far east.
    fn field(self, field: Field, offset: i64) -> i64 {
        let seconds = self.seconds + offset;
        let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let (year, month, date) = civil(day);
        match field {
            Field::Year => year,
            Field::Month => month - 1,
            Field::DayOfYear => day - day_of(year, 1, 1),
            Field::DayOfMonth => date - 1,
            Field::Date => date,
            // 1970 began on a Thursday.
            Field::DayOfWeek => (day + 4).rem_euclid(7),
            Field::Hours => second / 3600,
            Field::Minutes => second / 60 % 60,
            Field::Seconds => second % 60,
            Field::Milliseconds => self.nanos / 1_000_000,
        }
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanos).cmp(&(other.seconds, other.nanos))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |field| self.field(field, self.offset);
        let (year, month, date) = (part(Field::Year), part(Field::Month) + 1, part(Field::Date));
        let (hours, minutes, seconds) = (part(Field::Hours), part(Field::Minutes), part(Field::Seconds));
        write!(f, "{year:04}-{month:02}-{date:02}T{hours:02}:{minutes:02}:{seconds:02}")?;
        if self.nanos > 0 {
            write!(f, ".{}", format!("{:09}", self.nanos).trim_end_matches('0'))?;
        }
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let (sign, minutes) = (if self.offset < 0 { '-' } else { '+' }, self.offset.abs() / 60);
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// The day of a date since 1970. The arithmetic counts years from March on, in cycles of 400 years, so that the day that
/// leap years have comes last.
fn day_of(year: i64, month: i64, date: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = (153 * ((month + 9) % 12) + 2) / 5 + date - 1;
    cycle * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468
}

/// Year, month and day of a day since 1970.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (cycle, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycle * 400 + year + i64::from(month <= 2), month, date)
}

/// Whether a text is a date: `YYYY-MM-DD`.
pub(super) fn is_date(text: &str) -> bool {
    let mut reader = Reader(text.as_bytes());
    reader.date().is_some() && reader.0.is_empty()
}

/// What is left of a text that is read from its start.
struct Reader<'t>(&'t [u8]);

impl Reader<'_> {
    /// Seconds since 1970, nanoseconds and the offset of the zone. Like Go, it takes hours of one digit, a comma before the
    /// fraction, and zones of up to 24 hours and 60 minutes.
    fn date_time(mut self) -> Option<(i64, i64, i64)> {
        let day = self.date()?;
        self.expect(b'T')?;
        let hours = if self.is_digit(1) { self.number(2)? } else { self.number(1)? };
        self.expect(b':')?;
        let minutes = self.number(2)?;
        self.expect(b':')?;
        let seconds = self.number(2)?;
        if hours > 23 || minutes > 59 || seconds > 59 {
            return None;
        }
        let nanos = self.fraction();
        let offset = self.zone()?;
        self.0.is_empty().then_some((day * DAY + hours * 3600 + minutes * 60 + seconds - offset, nanos, offset))
    }

    /// The day of a date since 1970.
    fn date(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        self.expect(b'-')?;
        let month = self.number(2)?;
        self.expect(b'-')?;
        let date = self.number(2)?;
        // A day that the month does not have would be one of the next.
        let day = (1..=12).contains(&month).then(|| day_of(year, month, date))?;
        (civil(day) == (year, month, date)).then_some(day)
    }

    /// In nanoseconds; what is finer is forgotten.
    fn fraction(&mut self) -> i64 {
        if !matches!(self.0.first(), Some(b'.' | b',')) || !self.is_digit(1) {
            return 0;
        }
        self.0 = &self.0[1..];
        let (mut nanos, mut unit) = (0, SECOND / 10);
        while let Some(digit) = self.number(1) {
            nanos += digit * unit;
            unit /= 10;
        }
        nanos
    }

    fn zone(&mut self) -> Option<i64> {
        if self.expect(b'Z').is_some() {
            return Some(0);
        }
        let sign = if self.expect(b'-').is_some() { -1 } else { self.expect(b'+').map(|()| 1)? };
        let hours = self.number(2)?;
        self.expect(b':')?;
        let minutes = self.number(2)?;
        (hours <= 24 && minutes <= 60).then_some(sign * (hours * 3600 + minutes * 60))
    }

    fn is_digit(&self, at: usize) -> bool {
        self.0.get(at).is_some_and(u8::is_ascii_digit)
    }

    /// A number of so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let value = number
            .iter()
            .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))?;
        self.0 = rest;
        Some(value)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[wanted])?;
        Some(())
    }
}
