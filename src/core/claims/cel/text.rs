//! Functions on texts, and conversions.

use super::code::Function;
use super::decimal;
use super::duration;
use super::fault::{Eval, Fault};
use super::formatting;
use super::functions::{none, pattern};
use super::value::Value;

/// The function of a name that is about texts. Names come from the table of signatures, so there is always one.
pub(super) fn named(name: &str) -> Function {
    match name {
        "contains" => |args| search("contains", args, |text, part| text.contains(part)),
        "startsWith" => |args| search("startsWith", args, |text, part| text.starts_with(part)),
        "endsWith" => |args| search("endsWith", args, |text, part| text.ends_with(part)),
        "matches" => |args| match args {
            [Value::String(text), Value::String(regex)] => Ok(Value::Bool(compiled(regex)?.is_match(text))),
            args => none("matches", args),
        },
        "find" => |args| match args {
            [Value::String(text), Value::String(regex)] => {
                Ok(Value::string(compiled(regex)?.find(text).map_or("", |found| found.as_str())))
            }
            args => none("find", args),
        },
        "findAll" => find_all,
        "charAt" => char_at,
        "indexOf" => index_of,
        "lastIndexOf" => last_index_of,
        "lowerAscii" => |args| mapped("lowerAscii", args, str::to_ascii_lowercase),
        "upperAscii" => |args| mapped("upperAscii", args, str::to_ascii_uppercase),
        "trim" => |args| mapped("trim", args, |text| text.trim().to_owned()),
        "replace" => replace,
        "split" => split,
        "substring" => substring,
        "join" => join,
        "format" => |args| formatting::format(args).0,
        "strings.quote" => |args| match args {
            [Value::String(text)] => Ok(Value::string(&quoted(text))),
            args => none("strings.quote", args),
        },
        _ => |args| none("function", args),
    }
}

/// The conversion to a type.
pub(super) fn conversion(name: &str) -> Function {
    match name {
        "bool" => |args| match args {
            [Value::Bool(value)] => Ok(Value::Bool(*value)),
            [Value::String(text)] => match &**text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
                _ => Err(inconvertible("bool", text)),
            },
            args => none("bool", args),
        },
        "bytes" => |args| match args {
            [Value::Bytes(bytes)] => Ok(Value::Bytes(bytes.clone())),
            [Value::String(text)] => Ok(Value::Bytes(text.as_bytes().into())),
            args => none("bytes", args),
        },
        "double" => |args| match args {
            [Value::Double(value)] => Ok(Value::Double(*value)),
            [Value::Int(value)] => Ok(Value::Double(*value as f64)),
            [Value::Uint(value)] => Ok(Value::Double(*value as f64)),
            [Value::String(text)] => {
                decimal::parse(text).map(Value::Double).ok_or_else(|| inconvertible("double", text))
            }
            args => none("double", args),
        },
        "int" => |args| match args {
            [Value::Int(value)] => Ok(Value::Int(*value)),
            [Value::Uint(value)] => i64::try_from(*value).map(Value::Int).map_err(|_| super::functions::overflow()),
            // Beyond these, the rounded number is none that a 64-bit integer has.
            [Value::Double(value)] if *value > -9.223_372_036_854_776e18 && *value < 9.223_372_036_854_776e18 => {
                Ok(Value::Int(*value as i64))
            }
            [Value::Double(_)] => Err(super::functions::overflow()),
            [Value::String(text)] => text.parse().map(Value::Int).map_err(|_| inconvertible("int", text)),
            [Value::Duration(nanos)] => Ok(Value::Int(*nanos)),
            [Value::Timestamp(at)] => Ok(Value::Int(at.seconds())),
            args => none("int", args),
        },
        "uint" => |args| match args {
            [Value::Uint(value)] => Ok(Value::Uint(*value)),
            [Value::Int(value)] => u64::try_from(*value).map(Value::Uint).map_err(|_| super::functions::overflow()),
            [Value::Double(value)] if *value >= 0.0 && *value < 1.844_674_407_370_955_2e19 => {
                Ok(Value::Uint(*value as u64))
            }
            [Value::Double(_)] => Err(super::functions::overflow()),
            // There is no sign, not even a plus.
            [Value::String(text)] if text.starts_with('+') => Err(inconvertible("uint", text)),
            [Value::String(text)] => text.parse().map(Value::Uint).map_err(|_| inconvertible("uint", text)),
            args => none("uint", args),
        },
        _ => |args| match args {
            [Value::String(text)] => Ok(Value::String(text.clone())),
            [Value::Bool(value)] => Ok(Value::string(&value.to_string())),
            [Value::Int(value)] => Ok(Value::string(&value.to_string())),
            [Value::Uint(value)] => Ok(Value::string(&value.to_string())),
            [Value::Double(value)] => Ok(Value::string(&decimal::general(*value))),
            [Value::Duration(nanos)] => Ok(Value::string(&duration::text(*nanos))),
            [Value::Timestamp(at)] => Ok(Value::string(&at.to_string())),
            [Value::Ip(address)] => Ok(Value::string(&address.to_string())),
            [Value::Cidr(network)] => Ok(Value::string(&network.to_string())),
            [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Value::string(text)),
                Err(_) => Err(Fault::value("invalid UTF-8 in bytes, cannot convert to string")),
            },
            args => none("string", args),
        },
    }
}

fn inconvertible(name: &str, text: &str) -> Fault {
    Fault::Value(format!("type conversion error: {text:?} is no {name}"))
}

fn compiled(regex: &str) -> Eval<regex::Regex> {
    pattern(regex).map_err(Fault::Value)
}

fn search(name: &str, args: &[Value], holds: fn(&str, &str) -> bool) -> Eval<Value> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(holds(text, part))),
        args => none(name, args),
    }
}

fn mapped(name: &str, args: &[Value], of: fn(&str) -> String) -> Eval<Value> {
    match args {
        [Value::String(text)] => Ok(Value::string(&of(text))),
        args => none(name, args),
    }
}

fn find_all(args: &[Value]) -> Eval<Value> {
    let (text, regex, most) = match args {
        [Value::String(text), Value::String(regex)] => (text, regex, -1),
        [Value::String(text), Value::String(regex), Value::Int(most)] => (text, regex, *most),
        args => return none("findAll", args),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let regex = compiled(regex)?;
    Ok(Value::list(regex.find_iter(text).take(most).map(|found| Value::string(found.as_str())).collect()))
}

/// In quotation marks, with everything escaped that cannot stand between them.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' | '"' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn out_of_range(index: i64) -> Fault {
    Fault::Value(format!("index out of range: {index}"))
}

fn char_at(args: &[Value]) -> Eval<Value> {
    let [Value::String(text), Value::Int(at)] = args else { return none("charAt", args) };
    let count = text.chars().count();
    let index = usize::try_from(*at).ok().filter(|at| *at <= count).ok_or_else(|| out_of_range(*at))?;
    Ok(Value::String(text.chars().skip(index).take(1).collect::<String>().into()))
}

fn index_of(args: &[Value]) -> Eval<Value> {
    let (text, part, from) = match args {
        [Value::String(text), Value::String(part)] => (text, part, 0),
        [Value::String(text), Value::String(part), Value::Int(from)] => (text, part, *from),
        [Value::List(values), value] => {
            let found = values.iter().position(|other| other.equals(value) == Ok(true));
            return Ok(Value::Int(found.map_or(-1, |at| at as i64)));
        }
        args => return none("indexOf", args),
    };
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    let start = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    let found = text.get(start..).and_then(|rest| rest.windows(part.len()).position(|window| window == part));
    Ok(Value::Int(found.map_or(-1, |at| (start + at) as i64)))
}

fn last_index_of(args: &[Value]) -> Eval<Value> {
    let (text, part, from) = match args {
        [Value::String(text), Value::String(part)] => (text, part, None),
        [Value::String(text), Value::String(part), Value::Int(from)] => (text, part, Some(*from)),
        [Value::List(values), value] => {
            let found = values.iter().rposition(|other| other.equals(value) == Ok(true));
            return Ok(Value::Int(found.map_or(-1, |at| at as i64)));
        }
        args => return none("lastIndexOf", args),
    };
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    if part.is_empty() {
        return Ok(Value::Int(from.unwrap_or(text.len() as i64)));
    }
    let from = match from {
        None if text.len() < part.len() => return Ok(Value::Int(-1)),
        None => text.len() - 1,
        Some(from) => usize::try_from(from).map_err(|_| out_of_range(from))?,
    };
    if from >= text.len() {
        return Ok(Value::Int(-1));
    }
    let found = text.windows(part.len()).take(from.saturating_add(1)).rposition(|window| window == part);
    Ok(Value::Int(found.map_or(-1, |at| at as i64)))
}

/// How often, where a negative number means always.
fn often(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn replace(args: &[Value]) -> Eval<Value> {
    let (text, old, new, count) = match args {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, -1),
        [Value::String(text), Value::String(old), Value::String(new), Value::Int(count)] => (text, old, new, *count),
        args => return none("replace", args),
    };
    // The longest that it can become: refused before it is made.
    if text.len().saturating_add(1).saturating_mul(new.len().max(1)) > 10_000_000 {
        return Err(Fault::Cost);
    }
    Ok(Value::string(&text.replacen(&**old, new, often(count))))
}

fn split(args: &[Value]) -> Eval<Value> {
    let (text, separator, count) = match args {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(count)] => (text, separator, *count),
        args => return none("split", args),
    };
    if count == 0 {
        return Ok(Value::list(vec![]));
    }
    if separator.is_empty() {
        // Characters, the last part being what is left.
        let most = often(count);
        let ends = text.char_indices().map(|(at, _)| at).skip(1).take(most - 1).chain([text.len()]);
        let mut start = 0;
        let parts = ends.map(|end| Value::string(&text[std::mem::replace(&mut start, end)..end]));
        return Ok(Value::list(if text.is_empty() { vec![] } else { parts.collect() }));
    }
    Ok(Value::list(text.splitn(often(count), &**separator).map(Value::string).collect()))
}

fn substring(args: &[Value]) -> Eval<Value> {
    let (text, from, to) = match args {
        [Value::String(text), Value::Int(from)] => (text, *from, None),
        [Value::String(text), Value::Int(from), Value::Int(to)] => (text, *from, Some(*to)),
        args => return none("substring", args),
    };
    let count = text.chars().count() as i64;
    let to = to.unwrap_or(count);
    if from > to {
        return Err(Fault::Value(format!("invalid substring range. start: {from}, end: {to}")));
    }
    for index in [from, to] {
        if !(0..=count).contains(&index) {
            return Err(out_of_range(index));
        }
    }
    // Both are within the text.
    let part: String = text.chars().skip(from as usize).take((to - from) as usize).collect();
    Ok(Value::String(part.into()))
}

fn join(args: &[Value]) -> Eval<Value> {
    let (values, separator) = match args {
        [Value::List(values)] => (values, ""),
        [Value::List(values), Value::String(separator)] => (values, &**separator),
        args => return none("join", args),
    };
    if values.len().saturating_mul(separator.len()) > 10_000_000 {
        return Err(Fault::Cost);
    }
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.to_string()),
        other => Err(Fault::Value(format!("join: invalid input of type {}", other.type_name()))),
    };
    let texts = values.iter().map(text).collect::<Eval<Vec<String>>>()?;
    Ok(Value::string(&texts.join(separator)))
}
