//! Evaluation, step by step, for a device or a pod.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::code::{Access, Code, Comprehension, Entry};
use super::collections;
use super::fault::{Eval, Fault};
use super::formatting::{self, FORMAT};
use super::functions;
use super::semver::Semver;
use super::value::{Key, MapValue, Value};
use crate::claims::attribute::{Attribute, qualified};
use crate::claims::features::Facet;
use crate::claims::slice::Device;

/// Most steps of one evaluation: `CELSelectorExpressionMaxCost` of `k8s.io/api/resource/v1`, which counts about alike.
const MAX_COST: u64 = 1_000_000;

/// An evaluation for one device or pod.
pub(super) struct Evaluation<'d> {
    about: About<'d>,
    /// Variables of the comprehensions around.
    stack: Vec<Eval<Value>>,
    cost: u64,
}

impl<'d> Evaluation<'d> {
    pub fn of_device(driver: &'d str, device: &'d Device) -> Self {
        Evaluation { about: About::Device(Described { driver, device }), stack: vec![], cost: 0 }
    }

    /// For a pod, given as the map of its fields.
    pub fn of_pod(fields: Value) -> Self {
        Evaluation { about: About::Pod(fields), stack: vec![], cost: 0 }
    }

    /// What a program about devices is evaluated for.
    fn device(&self) -> Eval<&Described<'d>> {
        match &self.about {
            About::Device(device) => Ok(device),
            About::Pod(_) => Err(Fault::value("there is no device")),
        }
    }

    fn spend(&mut self, cost: usize) -> Eval<()> {
        self.cost += cost as u64;
        if self.cost > MAX_COST { Err(Fault::Cost) } else { Ok(()) }
    }

    pub fn value(&mut self, code: &Code) -> Eval<Value> {
        self.spend(1)?;
        match code {
            Code::Const(value) => Ok(value.clone()),
            Code::Variable(at) => self.stack[*at].clone(),
            Code::Device => Ok(self.device()?.whole()),
            Code::Pod => match &self.about {
                About::Pod(fields) => Ok(fields.clone()),
                About::Device(_) => Err(Fault::value("there is no pod")),
            },
            Code::Driver => Ok(Value::string(self.device()?.driver)),
            Code::Shareable => Ok(Value::Bool(self.device()?.device.shareable)),
            Code::Facet(facet) => Ok(self.device()?.facet(*facet)),
            Code::Domain(facet, domain) => {
                let domain = self.value(domain)?;
                Ok(self.device()?.domain(*facet, &domain))
            }
            Code::Entry(entry, access) => access_result(self.device()?.entry(entry), &entry.id, *access),
            Code::Select(operand, field, access) => {
                let operand = self.value(operand)?;
                select(operand, field, *access)
            }
            Code::Index(operand, index) => {
                let (operand, index) = (self.value(operand)?, self.value(index)?);
                match operand {
                    // What is looked up in an optional is one.
                    Value::Optional(None) => Ok(Value::Optional(None)),
                    Value::Optional(Some(inner)) => Ok(optional(functions::index(&inner, &index).ok())),
                    operand => functions::index(&operand, &index),
                }
            }
            Code::OptionalIndex(operand, index) => {
                let (operand, index) = (self.value(operand)?, self.value(index)?);
                match operand {
                    Value::Optional(None) => Ok(Value::Optional(None)),
                    Value::Optional(Some(inner)) => Ok(optional(functions::index(&inner, &index).ok())),
                    operand => Ok(optional(functions::index(&operand, &index).ok())),
                }
            }
            Code::And(operands) => self.logic(operands, false),
            Code::Or(operands) => self.logic(operands, true),
            Code::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                match self.value(condition)? {
                    Value::Bool(true) => self.value(yes),
                    Value::Bool(false) => self.value(no),
                    other => Err(Fault::overload("_?_:_", &[&other])),
                }
            }
            Code::NotStrictlyFalse(operand) => match self.value(operand) {
                Err(Fault::Cost) => Err(Fault::Cost),
                Ok(Value::Bool(value)) => Ok(Value::Bool(value)),
                _ => Ok(Value::Bool(true)),
            },
            Code::Matches(operand, pattern) => match self.value(operand)? {
                Value::String(text) => {
                    self.spend(text.len() / 10)?;
                    Ok(Value::Bool(pattern.is_match(&text)))
                }
                other => Err(Fault::overload("matches", &[&other])),
            },
            Code::Call(name, function, args) => self.call(name, *function, args),
            Code::List(elements) => self.list(elements),
            Code::Map(entries) => self.map(entries),
            Code::Comprehension(fold) => self.fold(fold),
        }
    }

    /// `&&` and `||`: when one operand decides, it is no matter what is wrong with the other.
    fn logic(&mut self, operands: &[Code; 2], deciding: bool) -> Eval<Value> {
        let mut fault = None;
        for operand in operands {
            match self.value(operand) {
                Ok(Value::Bool(value)) if value == deciding => return Ok(Value::Bool(deciding)),
                Ok(Value::Bool(_)) => {}
                Ok(other) => {
                    let operator = if deciding { "_||_" } else { "_&&_" };
                    fault = fault.or(Some(Fault::overload(operator, &[&other])));
                }
                Err(Fault::Cost) => return Err(Fault::Cost),
                Err(other) => fault = fault.or(Some(other)),
            }
        }
        fault.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    fn call(&mut self, name: &str, function: super::code::Function, args: &[Code]) -> Eval<Value> {
        if let ("@in", [wanted, Code::List(elements)]) = (name, args) {
            // Numbers, texts and truth values that are written out upstream makes a set of. Nothing is in an empty one, not
            // even what cannot be evaluated; and versions, formats and bytes cannot be looked up in any.
            if elements.is_empty() {
                return Ok(Value::Bool(false));
            }
            let is_set = elements.iter().all(|(element, _)| matches!(element, Code::Const(value) if is_plain(value)));
            if is_set && let odd @ (Value::Semver(_) | Value::Format(_) | Value::Bytes(_)) = self.value(wanted)? {
                return Err(Fault::overload("@in", &[&odd]));
            }
        }
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            // Where there is a value, nobody looks at what would stand in for it; nor where there never was an optional.
            match (name, values.as_slice()) {
                ("orValue", [Value::Optional(Some(inner))]) => return Ok((**inner).clone()),
                ("or" | "orValue", [Value::Optional(None)]) => {}
                ("or" | "orValue", [value]) => return Ok(value.clone()),
                _ => {}
            }
            values.push(self.value(arg)?);
        }
        self.spend(values.iter().map(functions::traversal).sum())?;
        // These make what they are given as long as it is.
        if name == "lists.range" {
            self.spend(functions::range_length(&values))?;
        }
        if name == "flatten" {
            self.spend(collections::flat_length(&values))?;
        }
        if name == FORMAT {
            // What is written counts, also where it comes to nothing and an operator makes up for that.
            let (result, effort) = formatting::format(&values);
            self.spend(effort / 10)?;
            return result;
        }
        let result = function(&values)?;
        self.spend(functions::traversal(&result))?;
        Ok(result)
    }

    fn list(&mut self, elements: &[(Code, bool)]) -> Eval<Value> {
        let mut values = Vec::with_capacity(elements.len());
        for (element, optional) in elements {
            match self.value(element)? {
                Value::Optional(inner) if *optional => values.extend(inner.as_deref().cloned()),
                other if *optional => return Err(Fault::overload("[?_]", &[&other])),
                value => values.push(value),
            }
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &[(Code, Code, bool)]) -> Eval<Value> {
        let mut map = MapValue::default();
        for (key, value, optional) in entries {
            let key = self.value(key)?;
            let Some(name) = Key::of(&key) else { return Err(Fault::overload("{_: _}", &[&key])) };
            let value = match self.value(value)? {
                Value::Optional(None) if *optional => continue,
                Value::Optional(Some(inner)) if *optional => (*inner).clone(),
                other if *optional => return Err(Fault::overload("{?_: _}", &[&other])),
                value => value,
            };
            // Of two entries with one key the last counts, as upstream.
            map.entries.insert(name, value);
        }
        Ok(Value::Map(Arc::new(map)))
    }

    /// A loop. What goes wrong in it is a value that an operator may make up for, as long as there is one that does.
    fn fold(&mut self, fold: &Comprehension) -> Eval<Value> {
        let range = self.value(&fold.range)?;
        let keys = matches!(range, Value::Map(_));
        let items: Vec<(Value, Value)> = match &range {
            Value::List(values) => {
                let index = |(at, value): (usize, &Value)| (Value::Int(at as i64), value.clone());
                values.iter().enumerate().map(index).collect()
            }
            Value::Map(map) => map.entries.iter().map(|(key, value)| (key.value(), value.clone())).collect(),
            other => return Err(Fault::overload("comprehension", &[other])),
        };
        let base = self.stack.len();
        let accu = self.value(&fold.init);
        self.stack.push(accu);
        for (first, second) in items {
            self.spend(1)?;
            match (fold.pairs, keys) {
                (true, _) => self.stack.extend([Ok(first), Ok(second)]),
                (false, true) => self.stack.push(Ok(first)),
                (false, false) => self.stack.push(Ok(second)),
            }
            if matches!(self.value(&fold.condition), Ok(Value::Bool(false))) {
                break;
            }
            let accu = self.value(&fold.step);
            self.stack.truncate(base);
            self.stack.push(accu);
        }
        self.stack.truncate(base + 1);
        self.spend(0)?;
        let result = self.value(&fold.result);
        self.stack.truncate(base);
        result
    }
}

/// Whether upstream puts a value into a set.
fn is_plain(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_))
}

/// What an expression is evaluated for.
enum About<'d> {
    Device(Described<'d>),
    /// The map of its fields.
    Pod(Value),
}

/// A device of a driver.
struct Described<'d> {
    driver: &'d str,
    device: &'d Device,
}

impl Described<'_> {
    /// The device as a map of its fields: what else is done with it than to ask for one.
    fn whole(&self) -> Value {
        let fields = [
            ("driver", Value::string(self.driver)),
            ("allowMultipleAllocations", Value::Bool(self.device.shareable)),
            ("attributes", self.facet(Facet::Attributes)),
            ("capacity", self.facet(Facet::Capacity)),
        ];
        let entries = fields.into_iter().map(|(name, value)| (Key::String(name.into()), value)).collect();
        Value::Map(Arc::new(MapValue { entries, lenient: false }))
    }

    fn entry(&self, entry: &Entry) -> Option<Value> {
        let own = *entry.domain == *self.driver;
        match entry.facet {
            Facet::Attributes => {
                let attributes = &self.device.attributes;
                let found = attributes.get(&entry.qualified);
                found.or_else(|| if own { attributes.get(&entry.id) } else { None }).map(attribute)
            }
            Facet::Capacity => {
                let capacity = &self.device.capacity;
                let found = capacity.get(&entry.qualified);
                let found = found.or_else(|| if own { capacity.get(&entry.id) } else { None });
                found.map(|capacity| Value::Quantity(capacity.value))
            }
        }
    }

    fn domain(&self, facet: Facet, domain: &Value) -> Value {
        let Value::String(domain) = domain else { return Value::Map(Arc::default()) };
        let mut map = MapValue::default();
        self.entries(facet, |of, id, value| {
            if *of == **domain {
                map.entries.insert(Key::String(id.into()), value);
            }
        });
        Value::Map(Arc::new(map))
    }

    fn facet(&self, facet: Facet) -> Value {
        let mut domains: BTreeMap<Key, MapValue> = BTreeMap::new();
        self.entries(facet, |domain, id, value| {
            domains.entry(Key::String(domain.into())).or_default().entries.insert(Key::String(id.into()), value);
        });
        let entries = domains.into_iter().map(|(domain, map)| (domain, Value::Map(Arc::new(map))));
        Value::Map(Arc::new(MapValue { entries: entries.collect(), lenient: true }))
    }

    fn entries(&self, facet: Facet, mut each: impl FnMut(&str, &str, Value)) {
        let mut of = |name: &str, value| {
            let (domain, id) = qualified(name, self.driver);
            each(domain, id, value);
        };
        match facet {
            Facet::Attributes => self.device.attributes.iter().for_each(|(name, value)| of(name, attribute(value))),
            Facet::Capacity => {
                self.device.capacity.iter().for_each(|(name, capacity)| of(name, Value::Quantity(capacity.value)));
            }
        }
    }
}

fn select(operand: Value, field: &str, access: Access) -> Eval<Value> {
    match operand {
        Value::Optional(None) if access == Access::Has => Ok(Value::Bool(false)),
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => {
            let access = if access == Access::Get { Access::Optional } else { access };
            access_result(field_of(&inner, field), field, access)
        }
        operand => access_result(field_of(&operand, field), field, access),
    }
}

fn field_of(operand: &Value, field: &str) -> Option<Value> {
    match operand {
        Value::Map(map) => map.get(&Value::string(field)),
        _ => None,
    }
}

fn access_result(found: Option<Value>, field: &str, access: Access) -> Eval<Value> {
    match access {
        Access::Get => found.ok_or_else(|| Fault::NoSuchKey(field.to_owned())),
        Access::Has => Ok(Value::Bool(found.is_some())),
        Access::Optional => Ok(optional(found)),
    }
}

fn optional(value: Option<Value>) -> Value {
    Value::Optional(value.map(Arc::new))
}

/// Versions were found valid before anything is evaluated.
fn attribute(attribute: &Attribute) -> Value {
    let version = |text: &str| Semver::parse(text).map_or(Value::Null, |version| Value::Semver(Arc::new(version)));
    match attribute {
        Attribute::Int(value) => Value::Int(*value),
        Attribute::Bool(value) => Value::Bool(*value),
        Attribute::String(value) => Value::string(value),
        Attribute::Version(value) => version(value),
        Attribute::Ints(values) => Value::list(values.iter().copied().map(Value::Int).collect()),
        Attribute::Bools(values) => Value::list(values.iter().copied().map(Value::Bool).collect()),
        Attribute::Strings(values) => Value::list(values.iter().map(|value| Value::string(value)).collect()),
        Attribute::Versions(values) => Value::list(values.iter().map(|value| version(value)).collect()),
        Attribute::Unknown => Value::Null,
    }
}
