//! `format`: texts with places for values, in the form that version 2 of `cel-go`'s strings extension has.

use super::decimal;
use super::fault::{Eval, Fault};
use super::functions::none;
use super::quote::quoted;
use super::text;
use super::types::Type;
use super::value::{Key, MapValue, Value};

/// The function that puts values into a text.
pub(super) const FORMAT: &str = "format";

/// Most that is done for one text: about its length.
const MAX_EFFORT: usize = 10_000_000;

/// How a value is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Text,
    Decimal,
    /// With a precision.
    Fixed(u64),
    /// With a precision.
    Scientific(u64),
    Binary,
    Hex {
        upper: bool,
    },
    Octal,
}

/// A part of a format.
enum Piece<'f> {
    Text(&'f str),
    Value(Verb),
}

/// Without one, there are six digits after the point.
const PRECISION: u64 = 6;

/// Puts values in their places. What has no place is left over. Also says how much was written for it, be it for nothing.
pub(super) fn format(args: &[Value]) -> (Eval<Value>, usize) {
    let [Value::String(format), Value::List(values)] = args else { return (none("format", args), 0) };
    let mut out = Output::default();
    let written = write(format, values, &mut out);
    (written.map(|()| Value::String(out.text.into())), out.effort)
}

fn write(format: &str, values: &[Value], out: &mut Output) -> Eval<()> {
    let mut values = values.iter();
    for piece in pieces(format).map_err(Fault::Value)? {
        match piece {
            Piece::Text(text) => out.push(text)?,
            Piece::Value(verb) => {
                let value = values.next().ok_or_else(|| Fault::value("there is no value for a place"))?;
                verb.write(value, out)?;
            }
        }
    }
    Ok(())
}

/// An argument that is written out, as far as it matters what is written with it.
pub(super) struct Argument {
    pub of: Type,
    /// What a list or a map consists of, keys included.
    pub parts: Vec<Argument>,
}

/// Whether arguments suit a format, where both are written out: why they do not is said when the expression is compiled.
pub(super) fn check(format: &str, arguments: &[Argument]) -> Result<(), String> {
    let mut left = arguments.iter();
    for piece in pieces(format)? {
        if let Piece::Value(verb) = piece {
            let argument = left.next().ok_or("string.format has fewer arguments than places")?;
            if !verb.takes(argument) {
                return Err(format!("string.format cannot write '{}' so", argument.of));
            }
        }
    }
    if left.next().is_some() { Err("too many arguments supplied to string.format".into()) } else { Ok(()) }
}

fn pieces(format: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut pieces, mut rest) = (vec![], format);
    while let Some((text, after)) = rest.split_once('%') {
        pieces.push(Piece::Text(text));
        rest = match after.strip_prefix('%') {
            Some(after) => {
                pieces.push(Piece::Text("%"));
                after
            }
            None => {
                let (verb, after) = verb(after)?;
                pieces.push(Piece::Value(verb));
                after
            }
        };
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// The verb after a percent sign, and what follows. Each may have a precision.
fn verb(text: &str) -> Result<(Verb, &str), String> {
    let (precision, text) = match text.strip_prefix('.') {
        Some(text) => {
            let (digits, text) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
            let precision = digits.parse::<i64>().map_err(|_| format!("'{digits}' is no precision"))?;
            (precision.unsigned_abs(), text)
        }
        None => (PRECISION, text),
    };
    let mut rest = text.chars();
    let verb = match rest.next() {
        Some('s') => Verb::Text,
        Some('d') => Verb::Decimal,
        Some('f') => Verb::Fixed(precision),
        Some('e') => Verb::Scientific(precision),
        Some('b') => Verb::Binary,
        Some('x') => Verb::Hex { upper: false },
        Some('X') => Verb::Hex { upper: true },
        Some('o') => Verb::Octal,
        Some(other) => return Err(format!("unrecognized formatting clause '{other}'")),
        None => return Err("unexpected end of string".into()),
    };
    Ok((verb, rest.as_str()))
}

impl Verb {
    /// Whether it writes values of a type.
    fn takes(self, argument: &Argument) -> bool {
        use Type::{Bool, Bytes, Double, Duration, Int, List, Map, Meta, Null, String, Timestamp, Uint};
        match (&argument.of, self) {
            (Type::Dyn | Type::Var(_), _) => true,
            (Int | Uint, Verb::Decimal | Verb::Binary | Verb::Hex { .. } | Verb::Octal) => true,
            (Bool, Verb::Binary) | (String | Bytes, Verb::Hex { .. }) => true,
            // Texts may be the names of what is no number.
            (Double | String, Verb::Fixed(_) | Verb::Scientific(_)) => true,
            (Int | Uint | Double | Bool | String | Bytes | Timestamp | Duration | Null | Meta(_), Verb::Text) => true,
            (List(_) | Map(..), Verb::Text) => argument.parts.iter().all(|part| self.takes(part)),
            _ => false,
        }
    }

    fn write(self, value: &Value, out: &mut Output) -> Eval<()> {
        let text = match (self, value) {
            (Verb::Text, value) => return write_text(value, out),
            (Verb::Decimal, Value::Int(value)) => value.to_string(),
            (Verb::Decimal, Value::Uint(value)) => value.to_string(),
            (Verb::Fixed(precision), value) => decimal::grouped(number(value)?, precision),
            (Verb::Scientific(precision), value) => decimal::scientific(number(value)?, precision),
            (Verb::Binary, Value::Bool(value)) => i32::from(*value).to_string(),
            (Verb::Hex { upper }, Value::String(text)) => hex(text.as_bytes(), upper),
            (Verb::Hex { upper }, Value::Bytes(bytes)) => hex(bytes, upper),
            (_, Value::Int(value)) => {
                format!("{}{}", if *value < 0 { "-" } else { "" }, self.digits(value.unsigned_abs()))
            }
            (_, Value::Uint(value)) => self.digits(*value),
            (_, other) => return Err(unsuited(other)),
        };
        out.push(&text)
    }

    fn digits(self, number: u64) -> String {
        match self {
            Verb::Binary => format!("{number:b}"),
            Verb::Octal => format!("{number:o}"),
            Verb::Hex { upper: true } => format!("{number:X}"),
            _ => format!("{number:x}"),
        }
    }
}

fn unsuited(value: &Value) -> Fault {
    Fault::Value(format!("a value of type {} cannot be written so", value.type_name()))
}

/// What is written with a point: numbers that have one, and the names of those that are none.
fn number(value: &Value) -> Eval<f64> {
    match value {
        Value::Double(value) => Ok(*value),
        Value::String(text) => match &**text {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(unsuited(value)),
        },
        other => Err(unsuited(other)),
    }
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
}

/// As `%s` writes a value.
fn write_text(value: &Value, out: &mut Output) -> Eval<()> {
    match value {
        Value::List(_) | Value::Map(_) => write_literal(value, out),
        Value::Null => out.push("null"),
        Value::Type(name) => out.push(name),
        Value::Ip(_) | Value::Cidr(_) => Err(unsuited(value)),
        other => match text::conversion("string")(std::slice::from_ref(other))? {
            Value::String(text) => out.push(&text),
            _ => Err(unsuited(other)),
        },
    }
}

/// As a value is written in a list or a map: about as it could stand in an expression.
fn write_literal(value: &Value, out: &mut Output) -> Eval<()> {
    match value {
        Value::String(text) => out.push(&quoted(text.as_bytes())),
        Value::Bytes(bytes) if std::str::from_utf8(bytes).is_ok() => out.push(&format!("b{}", quoted(bytes))),
        Value::Double(value) if value.is_finite() => out.push(&decimal::fixed(*value)),
        Value::Double(value) => out.push(&quoted(decimal::fixed(*value).as_bytes())),
        Value::Timestamp(_) => write_call("timestamp", value, out),
        Value::Duration(_) => write_call("duration", value, out),
        Value::List(values) => {
            out.push("[")?;
            for (at, value) in values.iter().enumerate() {
                out.push(if at > 0 { ", " } else { "" })?;
                write_literal(value, out)?;
            }
            out.push("]")
        }
        Value::Map(map) => write_map(map, out),
        other => write_text(other, out),
    }
}

fn write_call(name: &str, value: &Value, out: &mut Output) -> Eval<()> {
    out.push(&format!("{name}(\""))?;
    write_text(value, out)?;
    out.push("\")")
}

/// In the order of the keys as they are written.
fn write_map(map: &MapValue, out: &mut Output) -> Eval<()> {
    let key = |key: &Key| match key {
        Key::String(text) => quoted(text.as_bytes()),
        Key::Bool(value) => value.to_string(),
        Key::Int(value) => value.to_string(),
        Key::Uint(value) => value.to_string(),
    };
    out.work(map.entries.len())?;
    let mut entries: Vec<(String, &Value)> = map.entries.iter().map(|(name, value)| (key(name), value)).collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    out.push("{")?;
    for (at, (key, value)) in entries.into_iter().enumerate() {
        out.push(if at > 0 { ", " } else { "" })?;
        out.push(&key)?;
        out.push(":")?;
        write_literal(value, out)?;
    }
    out.push("}")
}

/// What was written so far.
#[derive(Default)]
struct Output {
    text: String,
    effort: usize,
}

impl Output {
    fn push(&mut self, text: &str) -> Eval<()> {
        self.work(text.len())?;
        self.text += text;
        Ok(())
    }

    fn work(&mut self, effort: usize) -> Eval<()> {
        self.effort += effort;
        if self.effort > MAX_EFFORT { Err(Fault::Cost) } else { Ok(()) }
    }
}
