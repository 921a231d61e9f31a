//! What functions do.

use std::cmp::Ordering;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::code::Function;
use super::collections;
use super::duration;
use super::fault::{Eval, Fault};
use super::format;
use super::net;
use super::semver::Semver;
use super::text;
use super::timestamp;
use super::types::Type;
use super::url;
use super::value::{MapValue, Value};
use crate::claims::amount::Amount;

/// Most values of a list that `includes` looks through: `ResourceSliceMaxAttributeValuesPerDevice`.
const MAX_INCLUDES: usize = 48;

/// A compiled pattern may take so many bytes.
const MAX_PATTERN: usize = 1 << 20;

/// A list that is put together has at most so many elements: what doubles has no end.
const MAX_ELEMENTS: usize = 1_000_000;

/// The function of a name. One function serves all overloads: what it does is decided by the values.
pub(super) fn named(name: &str) -> Function {
    match name {
        "!_" => |args| match args {
            [Value::Bool(value)] => Ok(Value::Bool(!value)),
            args => none("!_", args),
        },
        "_==_" => |args| equality(args).map(Value::Bool),
        // What cannot be compared is not equal.
        "_!=_" => |args| Ok(Value::Bool(equality(args) != Ok(true))),
        "_<_" => |args| ordered("_<_", args, |order| order == Ordering::Less),
        "_<=_" => |args| ordered("_<=_", args, |order| order != Ordering::Greater),
        "_>_" => |args| ordered("_>_", args, |order| order == Ordering::Greater),
        "_>=_" => |args| ordered("_>=_", args, |order| order != Ordering::Less),
        "_+_" => add,
        "_-_" => subtract,
        "_*_" => |args| arithmetic("_*_", args, i64::checked_mul, u64::checked_mul, |a, b| a * b),
        "_/_" => divide,
        "_%_" => modulo,
        "-_" => |args| match args {
            [Value::Int(value)] => value.checked_neg().map(Value::Int).ok_or_else(overflow),
            [Value::Double(value)] => Ok(Value::Double(-value)),
            [Value::Duration(nanos)] => nanos.checked_neg().map(Value::Duration).ok_or_else(overflow),
            args => none("-_", args),
        },
        "@in" => contained,
        "size" => |args| match args {
            [Value::String(text)] => Ok(Value::Int(text.chars().count() as i64)),
            [Value::Bytes(bytes)] => Ok(Value::Int(bytes.len() as i64)),
            [Value::List(values)] => Ok(Value::Int(values.len() as i64)),
            [Value::Map(map)] => Ok(Value::Int(map.entries.len() as i64)),
            args => none("size", args),
        },
        "type" => |args| match args {
            [value] => Ok(Value::Type(value.type_name().into())),
            args => none("type", args),
        },
        "dyn" => |args| args.first().cloned().ok_or_else(|| Fault::overload("dyn", &[])),
        "bool" | "bytes" | "double" | "int" | "string" | "uint" => text::conversion(name),
        "isSorted" => |args| sorted(args),
        "sum" => |args| sum(args, Value::Int(0)),
        "min" => |args| extreme("min", args, Ordering::Less),
        "max" => |args| extreme("max", args, Ordering::Greater),
        "slice" => slice,
        "reverse" => |args| match args {
            [Value::List(values)] => Ok(Value::list(values.iter().rev().cloned().collect())),
            args => none("reverse", args),
        },
        "distinct" => distinct,
        "first" => |args| end("first", args, |values| values.first()),
        "last" => |args| end("last", args, |values| values.last()),
        "lists.range" => |args| match args {
            [Value::Int(count)] => Ok(Value::list((0..*count).map(Value::Int).collect())),
            args => none("lists.range", args),
        },
        "sets.contains" => |args| sets("sets.contains", args, |a, b| b.iter().all(|value| has(a, value))),
        "sets.intersects" => |args| sets("sets.intersects", args, |a, b| b.iter().any(|value| has(a, value))),
        "sets.equivalent" => |args| {
            let holds =
                |a: &[Value], b: &[Value]| a.iter().all(|value| has(b, value)) && b.iter().all(|value| has(a, value));
            sets("sets.equivalent", args, holds)
        },
        "includes" => includes,
        "optional.of" => |args| Ok(Value::Optional(args.first().cloned().map(Arc::new))),
        "optional.ofNonZeroValue" => {
            |args| Ok(Value::Optional(args.first().filter(|value| !value.is_zero()).cloned().map(Arc::new)))
        }
        "optional.none" => |_| Ok(Value::Optional(None)),
        "optional.unwrap" | "unwrapOpt" => unwrap,
        "value" => |args| match args {
            [Value::Optional(Some(value))] => Ok((**value).clone()),
            [Value::Optional(None)] => Err(Fault::value("optional.none() dereference")),
            args => none("value", args),
        },
        "hasValue" => |args| match args {
            [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
            args => none("hasValue", args),
        },
        "or" => |args| match args {
            [Value::Optional(None), other] => Ok(other.clone()),
            [known, _] => Ok(known.clone()),
            args => none("or", args),
        },
        "orValue" => |args| match args {
            [Value::Optional(Some(value)), _] => Ok((**value).clone()),
            [Value::Optional(None), other] => Ok(other.clone()),
            [known, _] => Ok(known.clone()),
            args => none("orValue", args),
        },
        "quantity" => |args| match args {
            [Value::String(text)] => {
                Amount::parse(text).map(Value::Quantity).map_err(|error| Fault::value(error.to_string()))
            }
            args => none("quantity", args),
        },
        "isQuantity" => |args| match args {
            [Value::String(text)] => Ok(Value::Bool(Amount::parse(text).is_ok())),
            args => none("isQuantity", args),
        },
        "sign" => |args| match args {
            [Value::Quantity(amount)] => Ok(Value::Int(amount.sign())),
            args => none("sign", args),
        },
        "isGreaterThan" => |args| compare("isGreaterThan", args).map(|order| Value::Bool(order == Ordering::Greater)),
        "isLessThan" => |args| compare("isLessThan", args).map(|order| Value::Bool(order == Ordering::Less)),
        "compareTo" => |args| compare("compareTo", args).map(|order| Value::Int(order as i64)),
        "asApproximateFloat" => |args| match args {
            [Value::Quantity(amount)] => Ok(Value::Double(amount.as_float())),
            args => none("asApproximateFloat", args),
        },
        "asInteger" => |args| match args {
            [Value::Quantity(amount)] => {
                amount.as_integer().map(Value::Int).ok_or_else(|| Fault::value("cannot convert value to integer"))
            }
            args => none("asInteger", args),
        },
        "isInteger" => |args| match args {
            [Value::Quantity(amount)] => Ok(Value::Bool(amount.as_integer().is_some())),
            args => none("isInteger", args),
        },
        "add" => |args| amounts("add", args, Amount::plus),
        "sub" => |args| amounts("sub", args, Amount::minus),
        "semver" => |args| match version(args) {
            Some(Ok(version)) => Ok(Value::Semver(Arc::new(version))),
            Some(Err(what)) => Err(Fault::Value(what)),
            None => none("semver", args),
        },
        "isSemver" => |args| match version(args) {
            Some(version) => Ok(Value::Bool(version.is_ok())),
            None => none("isSemver", args),
        },
        "major" => |args| part_of("major", args, |version| version.major),
        "minor" => |args| part_of("minor", args, |version| version.minor),
        "patch" => |args| part_of("patch", args, |version| version.patch),
        "path" | "group" | "serviceAccount" | "resource" | "subresource" | "namespace" | "name" | "fieldSelector"
        | "labelSelector" | "check" | "allowed" | "reason" | "errored" | "error" => {
            // Only the API server has an authorizer to ask.
            |args| none("authorizer", args)
        }
        _ => {
            let libraries =
                [collections::named, net::named, duration::named, timestamp::named, url::named, format::named];
            libraries.into_iter().find_map(|named| named(name)).unwrap_or_else(|| text::named(name))
        }
    }
}

/// The sum of a list of which it is known what it is a list of: that matters when the list is empty.
pub(super) fn sum_of(of: &Type) -> Function {
    match of {
        Type::Uint => |args| sum(args, Value::Uint(0)),
        Type::Double => |args| sum(args, Value::Double(0.0)),
        Type::Duration => |args| sum(args, Value::Duration(0)),
        _ => |args| sum(args, Value::Int(0)),
    }
}

/// No overload is for these values.
pub(super) fn none<T>(name: &str, args: &[Value]) -> Eval<T> {
    Err(Fault::overload(name, &args.iter().collect::<Vec<_>>()))
}

pub(super) fn overflow() -> Fault {
    Fault::value("integer overflow")
}

/// What walking through a value costs.
pub(super) fn traversal(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() / 10,
        Value::Bytes(bytes) => bytes.len() / 10,
        Value::List(values) => values.len() / 100,
        Value::Url(url) => url.length() / 10,
        _ => 0,
    }
}

/// How long a list of numbers becomes.
pub(super) fn range_length(args: &[Value]) -> usize {
    match args {
        [Value::Int(count)] => usize::try_from(*count).unwrap_or(0),
        _ => 0,
    }
}

/// Compiles a pattern.
pub(super) fn pattern(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build().map_err(|error| error.to_string())
}

/// What is at an index or a key.
pub(super) fn index(operand: &Value, index: &Value) -> Eval<Value> {
    match (operand, index) {
        (Value::List(values), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
            let at = match super::value::Key::of(index) {
                Some(super::value::Key::Int(at)) => usize::try_from(at).ok(),
                _ => None,
            };
            let found = at.and_then(|at| values.get(at)).cloned();
            found.ok_or_else(|| Fault::value("index out of bounds"))
        }
        (Value::Map(map), key) => map.get(key).ok_or_else(|| Fault::NoSuchKey(key_text(key))),
        (operand, index) => Err(Fault::overload("_[_]", &[operand, index])),
    }
}

fn key_text(key: &Value) -> String {
    match key {
        Value::String(text) => text.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        other => other.type_name().to_owned(),
    }
}

fn equality(args: &[Value]) -> Eval<bool> {
    match args {
        [a, b] => a.equals(b),
        args => none("_==_", args),
    }
}

fn ordered(name: &str, args: &[Value], holds: fn(Ordering) -> bool) -> Eval<Value> {
    match args {
        [a, b] => match a.order(name, b)? {
            Some(order) => Ok(Value::Bool(holds(order))),
            None => Err(Fault::value("NaN values cannot be ordered")),
        },
        args => none(name, args),
    }
}

fn add(args: &[Value]) -> Eval<Value> {
    match args {
        [Value::String(a), Value::String(b)] => Ok(Value::String(format!("{a}{b}").into())),
        [Value::Bytes(a), Value::Bytes(b)] => Ok(Value::Bytes([&**a, b].concat().into())),
        [Value::List(a), Value::List(b)] if a.len() + b.len() > MAX_ELEMENTS => Err(Fault::Cost),
        [Value::List(a), Value::List(b)] => Ok(Value::List(a.iter().chain(b.iter()).cloned().collect())),
        [Value::Duration(a), Value::Duration(b)] => duration::combined(*a, *b, i64::checked_add),
        [Value::Timestamp(at), Value::Duration(nanos)] | [Value::Duration(nanos), Value::Timestamp(at)] => {
            at.plus(*nanos).map(Value::Timestamp)
        }
        args => arithmetic("_+_", args, i64::checked_add, u64::checked_add, |a, b| a + b),
    }
}

fn arithmetic(
    name: &str,
    args: &[Value],
    ints: fn(i64, i64) -> Option<i64>,
    uints: fn(u64, u64) -> Option<u64>,
    doubles: fn(f64, f64) -> f64,
) -> Eval<Value> {
    match args {
        [Value::Int(a), Value::Int(b)] => ints(*a, *b).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(a), Value::Uint(b)] => uints(*a, *b).map(Value::Uint).ok_or_else(overflow),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(doubles(*a, *b))),
        args => none(name, args),
    }
}

fn subtract(args: &[Value]) -> Eval<Value> {
    match args {
        [Value::Duration(a), Value::Duration(b)] => duration::combined(*a, *b, i64::checked_sub),
        [Value::Timestamp(a), Value::Timestamp(b)] => a.since(*b).map(Value::Duration),
        [Value::Timestamp(at), Value::Duration(nanos)] => at.minus(*nanos).map(Value::Timestamp),
        args => arithmetic("_-_", args, i64::checked_sub, u64::checked_sub, |a, b| a - b),
    }
}

fn divide(args: &[Value]) -> Eval<Value> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Fault::value("division by zero")),
        args => arithmetic("_/_", args, i64::checked_div, u64::checked_div, |a, b| a / b),
    }
}

fn modulo(args: &[Value]) -> Eval<Value> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Fault::value("modulus by zero")),
        [Value::Double(_), _] => none("_%_", args),
        args => arithmetic("_%_", args, i64::checked_rem, u64::checked_rem, |a, b| a % b),
    }
}

fn contained(args: &[Value]) -> Eval<Value> {
    match args {
        [value, Value::List(values)] => Ok(Value::Bool(has(values, value))),
        [key, Value::Map(map)] => Ok(Value::Bool(MapValue::contains(map, key))),
        args => none("@in", args),
    }
}

/// Whether a value is in a list. What it cannot be compared with is not it.
fn has(values: &[Value], value: &Value) -> bool {
    values.iter().any(|other| value.equals(other) == Ok(true))
}

fn sets(name: &str, args: &[Value], holds: fn(&[Value], &[Value]) -> bool) -> Eval<Value> {
    match args {
        [Value::List(a), Value::List(b)] => Ok(Value::Bool(holds(a, b))),
        args => none(name, args),
    }
}

/// Whether a list attribute has a value, or an attribute that is no list is it.
fn includes(args: &[Value]) -> Eval<Value> {
    match args {
        [Value::List(values), value] => {
            for (at, item) in values.iter().enumerate() {
                if at >= MAX_INCLUDES {
                    let what =
                        format!("'includes' function cannot be applied to lists longer than {MAX_INCLUDES} values");
                    return Err(Fault::Value(what));
                }
                if item.equals(value) == Ok(true) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        [target, value] => Ok(Value::Bool(target.equals(value) == Ok(true))),
        args => none("includes", args),
    }
}

fn sorted(args: &[Value]) -> Eval<Value> {
    let [Value::List(values)] = args else { return none("isSorted", args) };
    for (at, value) in values.iter().enumerate() {
        if !value.has_order() {
            return none("isSorted", args);
        }
        // Upstream looks for what is out of order, and values of two types are not.
        let previous = at.checked_sub(1).map(|previous| &values[previous]);
        if previous.is_some_and(|previous| matches!(previous.order("isSorted", value), Ok(Some(Ordering::Greater)))) {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

/// The sum of a list; of an empty one it is what is given for nothing.
fn sum(args: &[Value], nothing: Value) -> Eval<Value> {
    let [Value::List(values)] = args else { return none("sum", args) };
    let nothing = match values.first() {
        None | Some(Value::Int(_)) => nothing,
        Some(Value::Uint(_)) => Value::Uint(0),
        Some(Value::Double(_)) => Value::Double(0.0),
        Some(Value::Duration(_)) => Value::Duration(0),
        Some(_) => return none("sum", args),
    };
    values.iter().try_fold(nothing, |sum, value| add(&[sum, value.clone()]))
}

fn extreme(name: &str, args: &[Value], wanted: Ordering) -> Eval<Value> {
    let [Value::List(values)] = args else { return none(name, args) };
    let mut best: Option<&Value> = None;
    for value in values.iter() {
        if !value.has_order() {
            return none(name, args);
        }
        // What cannot be compared with the best is not better, as upstream.
        let better = best.is_none_or(|best| value.order(name, best) == Ok(Some(wanted)));
        if better {
            best = Some(value);
        }
    }
    best.cloned().ok_or_else(|| Fault::value(format!("{name} called on empty list")))
}

fn slice(args: &[Value]) -> Eval<Value> {
    let [Value::List(values), Value::Int(from), Value::Int(to)] = args else { return none("slice", args) };
    let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
    let part = range.filter(|(from, to)| from <= to).and_then(|(from, to)| values.get(from..to));
    let part =
        part.ok_or_else(|| Fault::value(format!("cannot slice({from}, {to}), list has length {}", values.len())))?;
    Ok(Value::list(part.to_vec()))
}

fn distinct(args: &[Value]) -> Eval<Value> {
    let [Value::List(values)] = args else { return none("distinct", args) };
    let mut kept: Vec<Value> = vec![];
    for value in values.iter() {
        if !has(&kept, value) {
            kept.push(value.clone());
        }
    }
    Ok(Value::list(kept))
}

/// The values of those optionals in a list that have one.
fn unwrap(args: &[Value]) -> Eval<Value> {
    let [Value::List(values)] = args else { return none("optional.unwrap", args) };
    let inner = values.iter().map(|value| match value {
        Value::Optional(inner) => Ok(inner.as_deref().cloned()),
        other => Err(Fault::Value(format!("a value of type {} is not optional", other.type_name()))),
    });
    Ok(Value::list(inner.filter_map(Result::transpose).collect::<Eval<_>>()?))
}

fn end(name: &str, args: &[Value], of: fn(&[Value]) -> Option<&Value>) -> Eval<Value> {
    match args {
        [Value::List(values)] => Ok(Value::Optional(of(values).cloned().map(Arc::new))),
        args => none(name, args),
    }
}

fn compare(name: &str, args: &[Value]) -> Eval<Ordering> {
    match args {
        [Value::Quantity(a), Value::Quantity(b)] => Ok(a.cmp(b)),
        [Value::Semver(a), Value::Semver(b)] => Ok(a.cmp(b)),
        args => none(name, args),
    }
}

fn amounts(name: &str, args: &[Value], operation: fn(Amount, Amount) -> Amount) -> Eval<Value> {
    match args {
        [Value::Quantity(a), Value::Quantity(b)] => Ok(Value::Quantity(operation(*a, *b))),
        [Value::Quantity(a), Value::Int(b)] => Ok(Value::Quantity(operation(*a, Amount::exponent(*b)))),
        args => none(name, args),
    }
}

/// None when the values are of no type that a version could be read from.
fn version(args: &[Value]) -> Option<Result<Semver, String>> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Some(Semver::parse(text)),
        [Value::String(text), Value::Bool(true)] => Some(Semver::parse_tolerant(text)),
        _ => None,
    }
}

fn part_of(name: &str, args: &[Value], part: fn(&Semver) -> u64) -> Eval<Value> {
    match args {
        [Value::Semver(version)] => Ok(Value::Int(part(version) as i64)),
        args => none(name, args),
    }
}
