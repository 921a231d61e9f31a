//! What makes lists of lists flat, puts them in order, and builds maps.

use std::cmp::Ordering;
use std::sync::Arc;

use super::code::Function;
use super::fault::{Eval, Fault};
use super::functions::none;
use super::value::{Key, MapValue, Value};

/// The function of a name that is about lists and maps as a whole, if it is one.
pub(super) fn named(name: &str) -> Option<Function> {
    Some(match name {
        "flatten" => |args| match args {
            [Value::List(values)] => flat(values, 1),
            [Value::List(values), Value::Int(depth)] => flat(values, *depth),
            args => none("flatten", args),
        },
        "sort" => |args| match args {
            [Value::List(values)] => sorted(values, values),
            args => none("sort", args),
        },
        SORT_BY_KEYS => |args| match args {
            [Value::List(values), Value::List(keys)] => sorted(values, keys),
            args => none(SORT_BY_KEYS, args),
        },
        MAP_INSERT => map_insert,
        _ => return None,
    })
}

/// Puts a list in the order of another: what `sortBy` becomes.
pub(super) const SORT_BY_KEYS: &str = "@sortByAssociatedKeys";

/// Adds an entry, or all of another map: what `transformMap` and `transformMapEntry` become.
pub(super) const MAP_INSERT: &str = "cel.@mapInsert";

/// How many elements making a list flat goes through.
pub(super) fn flat_length(args: &[Value]) -> usize {
    fn elements(values: &[Value], depth: i64) -> usize {
        let of = |value: &Value| match value {
            Value::List(inner) if depth > 0 => elements(inner, depth - 1),
            _ => 1,
        };
        values.iter().map(of).fold(values.len(), usize::saturating_add)
    }
    match args {
        [Value::List(values)] => elements(values, 1),
        [Value::List(values), Value::Int(depth)] => elements(values, *depth),
        _ => 0,
    }
}

fn flat(values: &[Value], depth: i64) -> Eval<Value> {
    fn extend(flat: &mut Vec<Value>, values: &[Value], depth: i64) {
        for value in values {
            match value {
                Value::List(inner) if depth > 0 => extend(flat, inner, depth - 1),
                value => flat.push(value.clone()),
            }
        }
    }
    if depth < 0 {
        return Err(Fault::value("level must be non-negative"));
    }
    let mut flat = vec![];
    extend(&mut flat, values, depth);
    Ok(Value::list(flat))
}

fn sorted(values: &[Value], keys: &[Value]) -> Eval<Value> {
    if values.len() != keys.len() {
        return Err(Fault::value("a list cannot be sorted by another of another length"));
    }
    let Some(first) = keys.first() else { return Ok(Value::list(vec![])) };
    if !first.has_order() {
        return Err(Fault::value("list elements must be comparable"));
    }
    if keys.len() > 1 && keys.iter().any(|key| key.type_name() != first.type_name()) {
        return Err(Fault::value("list elements must have the same type"));
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| among(&keys[*a], &keys[*b]));
    Ok(Value::list(order.into_iter().map(|at| values[at].clone()).collect()))
}

/// The order of values of one type. What is no number comes last, so that there is one.
fn among(a: &Value, b: &Value) -> Ordering {
    let is_number = |value: &Value| !matches!(value, Value::Double(value) if value.is_nan());
    let order = a.order("sort", b).ok().flatten();
    order.unwrap_or_else(|| is_number(b).cmp(&is_number(a)))
}

fn map_insert(args: &[Value]) -> Eval<Value> {
    let insert = |map: &MapValue, entries: &mut dyn Iterator<Item = (Key, Value)>| {
        let mut map = MapValue { entries: map.entries.clone(), lenient: false };
        for (key, value) in entries {
            if map.entries.insert(key, value).is_some() {
                return Err(Fault::value("insert failed: a key already exists"));
            }
        }
        Ok(Value::Map(Arc::new(map)))
    };
    match args {
        [Value::Map(map), Value::Map(other)] => {
            insert(map, &mut other.entries.iter().map(|(key, value)| (key.clone(), value.clone())))
        }
        [Value::Map(map), key, value] => match Key::of(key) {
            Some(key) => insert(map, &mut std::iter::once((key, value.clone()))),
            None => none(MAP_INSERT, args),
        },
        args => none(MAP_INSERT, args),
    }
}
