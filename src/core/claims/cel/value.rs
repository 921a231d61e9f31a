//! Values, and how they are compared.

use core::net::IpAddr;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::{Eval, Fault};
use super::format::Format;
use super::net::Network;
use super::semver::Semver;
use super::timestamp::Timestamp;
use super::url::Url;
use crate::claims::amount::Amount;

/// A value of an expression.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    List(Arc<[Value]>),
    Map(Arc<MapValue>),
    Optional(Option<Arc<Value>>),
    /// A type by its name.
    Type(Arc<str>),
    Quantity(Amount),
    Semver(Arc<Semver>),
    Ip(IpAddr),
    Cidr(Network),
    /// In nanoseconds.
    Duration(i64),
    Timestamp(Timestamp),
    Url(Arc<Url>),
    Format(Format),
}

/// Entries by key.
#[derive(Debug, Clone, Default)]
pub(super) struct MapValue {
    pub entries: BTreeMap<Key, Value>,
    /// Whether a key that is not there has an empty map: so it is with domains of a device.
    pub lenient: bool,
}

impl MapValue {
    /// What a key has.
    pub fn get(&self, key: &Value) -> Option<Value> {
        let found = Key::of(key).and_then(|key| self.entries.get(&key).cloned());
        found.or_else(|| self.lenient.then(|| Value::Map(Arc::default())))
    }

    /// Whether a key is really there.
    pub fn contains(&self, key: &Value) -> bool {
        Key::of(key).is_some_and(|key| self.entries.contains_key(&key))
    }
}

/// A key of a map. Numbers are one key, whatever their type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Arc<str>),
}

impl Key {
    /// None for a value that no map has.
    pub fn of(value: &Value) -> Option<Key> {
        Some(match value {
            Value::Bool(value) => Key::Bool(*value),
            Value::Int(value) => Key::Int(*value),
            Value::Uint(value) => i64::try_from(*value).map_or(Key::Uint(*value), Key::Int),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e18 => Key::Int(*value as i64),
            Value::String(value) => Key::String(Arc::clone(value)),
            _ => return None,
        })
    }

    pub fn value(&self) -> Value {
        match self {
            Key::Bool(value) => Value::Bool(*value),
            Key::Int(value) => Value::Int(*value),
            Key::Uint(value) => Value::Uint(*value),
            Key::String(value) => Value::String(Arc::clone(value)),
        }
    }
}

impl Value {
    pub fn string(text: &str) -> Value {
        Value::String(text.into())
    }

    pub fn list(values: Vec<Value>) -> Value {
        Value::List(values.into())
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Optional(_) => "optional_type",
            Value::Type(_) => "type",
            Value::Quantity(_) => "kubernetes.Quantity",
            Value::Semver(_) => "kubernetes.Semver",
            Value::Ip(_) => "net.IP",
            Value::Cidr(_) => "net.CIDR",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::Url(_) => "kubernetes.URL",
            Value::Format(_) => "kubernetes.NamedFormat",
        }
    }

    /// Whether it is of a type that Kubernetes added to the language.
    fn is_added(&self) -> bool {
        use Value::{Cidr, Format, Ip, Quantity, Semver, Url};
        matches!(self, Quantity(_) | Semver(_) | Ip(_) | Cidr(_) | Url(_) | Format(_))
    }

    /// Whether two values are equal. Values of different types are not, save numbers; but what Kubernetes added refuses on
    /// the left to be compared with anything else, as upstream's do.
    pub fn equals(&self, other: &Value) -> Eval<bool> {
        Ok(match (self, other) {
            (Value::Null, _) | (_, Value::Null) => matches!((self, other), (Value::Null, Value::Null)),
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
                numbers(self, other) == Some(Ordering::Equal)
            }
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::List(a), Value::List(b)) => {
                // An element that cannot be compared does not make lists differ, as upstream.
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(b) != Ok(false))
            }
            (Value::Map(a), Value::Map(b)) => {
                let same = |(key, value): (&Key, &Value)| {
                    b.entries.get(key).is_some_and(|other| value.equals(other) != Ok(false))
                };
                a.entries.len() == b.entries.len() && a.entries.iter().all(same)
            }
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (None, None) => true,
                (Some(a), Some(b)) => a.equals(b)?,
                _ => false,
            },
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::Quantity(a), Value::Quantity(b)) => a == b,
            (Value::Semver(a), Value::Semver(b)) => a.cmp(b) == Ordering::Equal,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a), Value::Cidr(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Url(a), Value::Url(b)) => a == b,
            (Value::Format(a), Value::Format(b)) => a == b,
            (added, _) if added.is_added() => return Err(Fault::overload("_==_", &[self, other])),
            _ => false,
        })
    }

    /// How two values of one type, or two numbers, are ordered; none where one is not a number.
    pub fn order(&self, operator: &str, other: &Value) -> Eval<Option<Ordering>> {
        Ok(match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
                numbers(self, other)
            }
            _ => return Err(Fault::overload(operator, &[self, other])),
        })
    }

    /// Whether values of its type are ordered.
    pub fn has_order(&self) -> bool {
        use Value::{Bool, Bytes, Double, Duration, Int, String, Timestamp, Uint};
        matches!(self, Bool(_) | Int(_) | Uint(_) | Double(_) | String(_) | Bytes(_) | Duration(_) | Timestamp(_))
    }

    /// Whether it is what its type has without anything said: `optional.ofNonZeroValue` asks.
    pub fn is_zero(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Int(value) => *value == 0,
            Value::Uint(value) => *value == 0,
            Value::Double(value) => *value == 0.0,
            Value::String(value) => value.is_empty(),
            Value::Bytes(value) => value.is_empty(),
            Value::List(values) => values.is_empty(),
            Value::Map(map) => map.entries.is_empty(),
            Value::Duration(nanos) => *nanos == 0,
            Value::Timestamp(at) => at.is_zero(),
            Value::Optional(_) | Value::Type(_) => false,
            Value::Quantity(_) | Value::Semver(_) => false,
            Value::Ip(_) | Value::Cidr(_) | Value::Url(_) | Value::Format(_) => false,
        }
    }
}

/// Numbers are compared by value, whatever their type.
fn numbers(a: &Value, b: &Value) -> Option<Ordering> {
    let against = |double: f64, whole: i128| {
        // Doubles this large have no fraction, and integers have no such size.
        if double.is_nan() {
            None
        } else if double >= 1e30 {
            Some(Ordering::Greater)
        } else if double <= -1e30 {
            Some(Ordering::Less)
        } else {
            let floor = double.floor();
            let fraction = if double > floor { Ordering::Greater } else { Ordering::Equal };
            Some((floor as i128).cmp(&whole).then(fraction))
        }
    };
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => against(*a, whole(b)?),
        (a, Value::Double(b)) => against(*b, whole(a)?).map(Ordering::reverse),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}
