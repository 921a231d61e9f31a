//! Type checking, by the rules of `cel-go`'s checker; what passes is compiled at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr, operators};

use super::CompileError;
use super::code::{Access, Code, Comprehension, Entry};
use super::formatting::{self, Argument, FORMAT};
use super::functions;
use super::parse::map_entry;
use super::pod;
use super::signatures::function;
use super::types::{Type, Unknowns};
use super::value::Value;
use crate::claims::features::Facet;

/// Deepest tree that is walked. What is written without brackets can be deeper than what the parser counts.
const MAX_TREE: usize = 512;

/// What an expression is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Device,
    Pod,
}

/// An expression that was found sound.
pub(super) struct Compiled {
    pub code: Code,
    /// The fields of the pod that it asks for.
    pub fields: BTreeSet<&'static str>,
}

/// Compiles an expression that evaluates to a truth value, or may.
pub(super) fn compile(tree: &IdedExpr, subject: Subject) -> Result<Compiled, CompileError> {
    let mut checker = Checker {
        subject,
        fields: BTreeSet::new(),
        unknowns: Unknowns::default(),
        scopes: vec![],
        depth: 0,
        formats: vec![],
        formatting: 0,
        formatted: BTreeMap::new(),
    };
    let (code, of) = checker.expr(tree)?;
    checker.formats()?;
    match checker.unknowns.resolve(&of) {
        Type::Bool | Type::Dyn | Type::Var(_) => Ok(Compiled { code, fields: checker.fields }),
        other => Err(CompileError::NotBool(other.to_string())),
    }
}

type Checked = Result<(Code, Type), CompileError>;

fn error<T>(what: impl Into<String>) -> Result<T, CompileError> {
    Err(CompileError::Type(what.into()))
}

struct Checker<'t> {
    subject: Subject,
    /// The fields of the pod that were asked for.
    fields: BTreeSet<&'static str>,
    unknowns: Unknowns,
    /// Variables of comprehensions around, by name; the place is that on the evaluator's stack.
    scopes: Vec<(String, Type)>,
    depth: usize,
    /// The calls of `format`.
    formats: Vec<&'t CallExpr>,
    /// How many of them are around.
    formatting: usize,
    /// Types of what is in them, by the number of the expression.
    formatted: BTreeMap<u64, Type>,
}

impl<'t> Checker<'t> {
    fn expr(&mut self, tree: &'t IdedExpr) -> Checked {
        self.depth += 1;
        if self.depth > MAX_TREE {
            return Err(CompileError::TooDeep);
        }
        let checked = match &tree.expr {
            Expr::Literal(literal) => Ok(constant(literal)),
            Expr::Ident(name) => self.ident(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map.entries.iter().map(|entry| map_entry(&entry.expr))),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(literal) => error(format!("undeclared reference to '{}'", literal.type_name)),
            Expr::Unspecified => error("is no expression"),
        };
        self.depth -= 1;
        if self.formatting > 0
            && let Ok((_, of)) = &checked
        {
            self.formatted.insert(tree.id, of.clone());
        }
        checked
    }

    fn ident(&mut self, name: &str) -> Checked {
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some(at) = self.scopes.iter().rposition(|(known, _)| known == name) {
            return Ok((Code::Variable(at), self.scopes[at].1.clone()));
        }
        match (name, self.subject) {
            ("device", Subject::Device) => return Ok((Code::Device, Type::Device)),
            ("pod", Subject::Pod) => return Ok((Code::Pod, Type::Pod)),
            _ => {}
        }
        match type_named(name) {
            Some(of) => Ok((Code::Const(Value::Type(name.into())), Type::Meta(Arc::new(of)))),
            None => error(format!("undeclared reference to '{name}'")),
        }
    }

    fn select(&mut self, select: &'t SelectExpr) -> Checked {
        let access = if select.test { Access::Has } else { Access::Get };
        if access == Access::Get
            && let Some(name) = qualified(&select.operand, &select.field)
            && !self.shadows(&name)
            && let Some(of) = type_named(&name)
        {
            return Ok((Code::Const(Value::Type(name.into())), Type::Meta(Arc::new(of))));
        }
        let (code, of) = self.field(&select.operand, &select.field, access)?;
        Ok((code, if access == Access::Has { Type::Bool } else { of }))
    }

    /// Whether a variable is what a qualified name begins with.
    fn shadows(&self, name: &str) -> bool {
        let root = name.split('.').next().unwrap_or_default();
        self.scopes.iter().any(|(known, _)| known == root)
    }

    /// A field of a value, and its type.
    fn field(&mut self, operand: &'t IdedExpr, field: &str, access: Access) -> Checked {
        let (code, of) = self.expr(operand)?;
        let of = self.unknowns.resolve(&of);
        let (target, optional) = match &of {
            Type::Optional(inner) => ((**inner).clone(), true),
            _ => (of.clone(), false),
        };
        let result = match &target {
            Type::Map(_, value) => (**value).clone(),
            Type::Device => match field {
                "driver" => Type::String,
                "allowMultipleAllocations" => Type::Bool,
                "attributes" => facet_type(Type::Dyn),
                "capacity" => facet_type(Type::Quantity),
                _ => return error(format!("undefined field '{field}'")),
            },
            Type::Pod => match pod::field(field) {
                Some((name, of)) => {
                    self.fields.insert(name);
                    of
                }
                None => return error(format!("undefined field '{field}'")),
            },
            Type::Var(_) => {
                self.unknowns.assign(&[Type::Dyn], std::slice::from_ref(&target));
                Type::Dyn
            }
            Type::Dyn => Type::Dyn,
            _ => return error(format!("type '{target}' does not support field selection")),
        };
        let wrapped = optional || access == Access::Optional;
        let result = if wrapped { Type::optional(result) } else { result };
        Ok((access_code(code, field, access), self.unknowns.resolve(&result)))
    }

    fn call(&mut self, call: &'t CallExpr) -> Checked {
        let name = call.func_name.as_str();
        if name != FORMAT {
            return self.plain_call(name, call);
        }
        self.formats.push(call);
        self.formatting += 1;
        let checked = self.plain_call(name, call);
        self.formatting -= 1;
        checked
    }

    fn plain_call(&mut self, name: &str, call: &'t CallExpr) -> Checked {
        if name == operators::OPT_SELECT {
            return match (&call.target, call.args.as_slice()) {
                (None, [operand, field]) => match &field.expr {
                    Expr::Literal(LiteralValue::String(field)) => self.field(operand, field.inner(), Access::Optional),
                    _ => error("unsupported optional field selection"),
                },
                _ => error("unsupported optional field selection"),
            };
        }
        let Some(target) = &call.target else {
            let args = self.args(&call.args)?;
            return self.resolve(name, false, args);
        };
        // Given a.b.c(), either a.b.c is a function, or c is one of a.b.
        let full = qualified(target, name).filter(|full| !self.shadows(full) && function(full).is_some());
        if let Some(full) = full {
            let args = self.args(&call.args)?;
            return self.resolve(&full, false, args);
        }
        let mut args = vec![];
        for arg in &call.args {
            args.push(self.expr(arg)?);
        }
        args.insert(0, self.expr(target)?);
        self.resolve(name, true, args)
    }

    fn args(&mut self, args: &'t [IdedExpr]) -> Result<Vec<(Code, Type)>, CompileError> {
        args.iter().map(|arg| self.expr(arg)).collect()
    }

    fn resolve(&mut self, name: &str, member: bool, args: Vec<(Code, Type)>) -> Checked {
        let (codes, types): (Vec<Code>, Vec<Type>) = args.into_iter().unzip();
        if name == operators::LOGICAL_AND || name == operators::LOGICAL_OR {
            return self.logic(name, codes, &types);
        }
        let Some((name, overloads)) = function(name) else {
            return error(format!("undeclared reference to '{name}'"));
        };
        let mut result: Option<Type> = None;
        for overload in overloads.iter().filter(|it| it.member == member && it.arity() == types.len()) {
            let (expected, gives) = overload.instance(&mut self.unknowns);
            if !self.unknowns.assign(&types, &expected) {
                continue;
            }
            let gives = self.unknowns.resolve(&gives);
            result = Some(match result {
                None => gives,
                Some(known) if known == gives => known,
                Some(_) => Type::Dyn,
            });
        }
        let Some(result) = result else {
            let types: Vec<String> = types.iter().map(|of| self.unknowns.resolve(of).to_string()).collect();
            return error(format!("found no matching overload for '{name}' applied to '({})'", types.join(", ")));
        };
        Ok((call_code(name, codes, &result)?, result))
    }

    fn logic(&mut self, name: &str, codes: Vec<Code>, types: &[Type]) -> Checked {
        for of in types {
            if !self.unknowns.assign(std::slice::from_ref(of), &[Type::Bool]) {
                return error(format!("expected type 'bool' but found '{}'", self.unknowns.resolve(of)));
            }
        }
        let Ok(codes) = <[Code; 2]>::try_from(codes) else { return error(format!("'{name}' has two operands")) };
        let codes = Box::new(codes);
        Ok((if name == operators::LOGICAL_AND { Code::And(codes) } else { Code::Or(codes) }, Type::Bool))
    }

    /// The type of an element that may be an optional to be unwrapped.
    fn element(&mut self, of: Type, optional: bool) -> Result<Type, CompileError> {
        if !optional {
            return Ok(of);
        }
        match self.unknowns.resolve(&of) {
            Type::Optional(inner) => Ok((*inner).clone()),
            Type::Dyn => Ok(Type::Dyn),
            other => error(format!("expected type 'optional_type({other})' but found '{other}'")),
        }
    }

    fn join(&mut self, so_far: Option<Type>, next: Type) -> Result<Option<Type>, CompileError> {
        let (expected, found) = (so_far.clone(), next.clone());
        let joined = self.unknowns.join(so_far, next);
        if self.formatting > 0 {
            // What is to be written may be of all kinds.
            return Ok(Some(joined.unwrap_or(Type::Dyn)));
        }
        let Some(expected) = expected else { return Ok(joined) };
        // Kubernetes' environment also refuses elements of which the type is not known beside others.
        let (expected, found) = (self.unknowns.resolve(&expected), self.unknowns.resolve(&found));
        if joined.is_none() || expected != found {
            return error(format!("expected type '{expected}' but found '{found}'"));
        }
        Ok(joined)
    }

    fn list(&mut self, list: &'t ListExpr) -> Checked {
        let (mut codes, mut item) = (vec![], None);
        for (at, element) in list.elements.iter().enumerate() {
            let optional = list.optional_indices.contains(&at);
            let (code, of) = self.expr(element)?;
            let of = self.element(of, optional)?;
            item = self.join(item, of)?;
            codes.push((code, optional));
        }
        let item = item.unwrap_or_else(|| self.unknowns.fresh());
        Ok((Code::List(codes), Type::list(item)))
    }

    fn map(&mut self, entries: impl Iterator<Item = Option<(&'t IdedExpr, &'t IdedExpr, bool)>>) -> Checked {
        let (mut codes, mut keys, mut values) = (vec![], None, None);
        for entry in entries {
            let Some((key, value, optional)) = entry else { return error("a map has keys and values") };
            let (key, of) = self.expr(key)?;
            keys = self.join(keys, of)?;
            let (value, of) = self.expr(value)?;
            let of = self.element(of, optional)?;
            values = self.join(values, of)?;
            codes.push((key, value, optional));
        }
        let keys = keys.unwrap_or_else(|| self.unknowns.fresh());
        let values = values.unwrap_or_else(|| self.unknowns.fresh());
        Ok((Code::Map(codes), Type::map(keys, values)))
    }

    fn comprehension(&mut self, fold: &'t ComprehensionExpr) -> Checked {
        let (range, over) = self.expr(&fold.iter_range)?;
        let (init, accu) = self.expr(&fold.accu_init)?;
        let pairs = fold.iter_var2.is_some();
        let over = self.unknowns.resolve(&over);
        let (first, second) = match &over {
            Type::List(item) if pairs => (Type::Int, (**item).clone()),
            Type::List(item) => ((**item).clone(), Type::Dyn),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn | Type::Var(_) => {
                self.unknowns.assign(&[Type::Dyn], std::slice::from_ref(&over));
                (Type::Dyn, Type::Dyn)
            }
            _ => return error(format!("expression of type '{over}' cannot be range of a comprehension")),
        };
        let outside = self.scopes.len();
        self.scopes.push((fold.accu_var.clone(), accu.clone()));
        self.scopes.push((fold.iter_var.clone(), first));
        if let Some(name) = &fold.iter_var2 {
            self.scopes.push((name.clone(), second));
        }
        let (condition, of) = self.expr(&fold.loop_cond)?;
        if !self.unknowns.assign(&[of], &[Type::Bool]) {
            return error("the condition of a loop must be bool");
        }
        let (step, of) = self.expr(&fold.loop_step)?;
        if !self.unknowns.assign(std::slice::from_ref(&of), std::slice::from_ref(&accu)) {
            let (accu, of) = (self.unknowns.resolve(&accu), self.unknowns.resolve(&of));
            return error(format!("expected type '{accu}' but found '{of}'"));
        }
        self.scopes.truncate(outside + 1);
        let (result, of) = self.expr(&fold.result)?;
        self.scopes.truncate(outside);
        let of = self.unknowns.resolve(&of);
        let code = Comprehension { range, pairs, init, condition, step, result };
        Ok((Code::Comprehension(Box::new(code)), of))
    }

    /// Looks at the formats that are written out with a list of what they are given, when all types are known.
    fn formats(&self) -> Result<(), CompileError> {
        for call in &self.formats {
            let format = call.target.as_deref().map(|target| &target.expr);
            if let (Some(Expr::Literal(LiteralValue::String(format))), [args]) = (format, call.args.as_slice())
                && let Expr::List(_) = &args.expr
            {
                formatting::check(format.inner(), &self.argument(args).parts).map_err(CompileError::Type)?;
            }
        }
        Ok(())
    }

    fn argument(&self, tree: &IdedExpr) -> Argument {
        let of = self.formatted.get(&tree.id).map_or(Type::Dyn, |of| self.unknowns.resolve(of));
        let parts = match &tree.expr {
            Expr::List(list) => list.elements.iter().map(|element| self.argument(element)).collect(),
            Expr::Map(map) => {
                let entries = map.entries.iter().filter_map(|entry| map_entry(&entry.expr));
                entries.flat_map(|(key, value, _)| [self.argument(key), self.argument(value)]).collect()
            }
            _ => vec![],
        };
        Argument { of, parts }
    }
}

fn facet_type(value: Type) -> Type {
    Type::map(Type::String, Type::map(Type::String, value))
}

/// The access to a field, in the form that costs least.
fn access_code(operand: Code, field: &str, access: Access) -> Code {
    match (operand, access) {
        (Code::Device, Access::Get) => match field {
            "driver" => Code::Driver,
            "allowMultipleAllocations" => Code::Shareable,
            "attributes" => Code::Facet(Facet::Attributes),
            _ => Code::Facet(Facet::Capacity),
        },
        (Code::Facet(facet), Access::Get) => Code::Domain(facet, Box::new(Code::Const(Value::string(field)))),
        (Code::Domain(facet, domain), access) => match *domain {
            Code::Const(Value::String(domain)) => entry(facet, &domain, field, access),
            domain => Code::Select(Box::new(Code::Domain(facet, Box::new(domain))), field.into(), access),
        },
        (operand, access) => Code::Select(Box::new(operand), field.into(), access),
    }
}

fn entry(facet: Facet, domain: &str, id: &str, access: Access) -> Code {
    let qualified = format!("{domain}/{id}").into();
    Code::Entry(Box::new(Entry { facet, domain: domain.into(), id: id.into(), qualified }), access)
}

/// Conversions: of what is written out they are done when the expression is compiled, and fail then.
const CONVERSIONS: [&str; 10] =
    ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"];

fn call_code(name: &'static str, mut args: Vec<Code>, result: &Type) -> Result<Code, CompileError> {
    let code = match (name, args.len()) {
        (operators::INDEX, 2) => {
            let (index, operand) = (args.remove(1), args.remove(0));
            return Ok(match (operand, index) {
                (Code::Facet(facet), domain) => Code::Domain(facet, Box::new(domain)),
                (Code::Domain(facet, domain), Code::Const(Value::String(id))) => {
                    access_code(Code::Domain(facet, domain), &id, Access::Get)
                }
                (operand, index) => Code::Index(Box::new(operand), Box::new(index)),
            });
        }
        (operators::OPT_INDEX, 2) => {
            let (index, operand) = (args.remove(1), args.remove(0));
            Code::OptionalIndex(Box::new(operand), Box::new(index))
        }
        (operators::NOT_STRICTLY_FALSE, 1) => Code::NotStrictlyFalse(Box::new(args.remove(0))),
        (operators::CONDITIONAL, 3) => match <[Code; 3]>::try_from(args) {
            Ok(parts) => Code::Conditional(Box::new(parts)),
            Err(_) => return error("a condition has three parts"),
        },
        ("matches" | "find" | "findAll", 2..) if literal(&args[1]).is_some() => {
            // What is written out must be valid when the expression is compiled.
            let pattern = literal(&args[1]).unwrap_or_default();
            let pattern =
                functions::pattern(pattern).or_else(|what| error(format!("invalid {name} argument: {what}")))?;
            match name {
                "matches" => Code::Matches(Box::new(args.remove(0)), pattern),
                _ => Code::Call(name, functions::named(name), args),
            }
        }
        ("sum", 1) => Code::Call(name, functions::sum_of(result), args),
        (_, 1) if CONVERSIONS.contains(&name) => match &args[0] {
            Code::Const(value) => match functions::named(name)(std::slice::from_ref(value)) {
                Ok(value) => Code::Const(value),
                Err(fault) => return error(fault.to_string()),
            },
            _ => Code::Call(name, functions::named(name), args),
        },
        _ => Code::Call(name, functions::named(name), args),
    };
    Ok(code)
}

fn literal(code: &Code) -> Option<&str> {
    match code {
        Code::Const(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn constant(literal: &LiteralValue) -> (Code, Type) {
    let (value, of) = match literal {
        LiteralValue::Boolean(value) => (Value::Bool(*value.inner()), Type::Bool),
        LiteralValue::Bytes(value) => (Value::Bytes(value.inner().into()), Type::Bytes),
        LiteralValue::Double(value) => (Value::Double(*value.inner()), Type::Double),
        LiteralValue::Int(value) => (Value::Int(*value.inner()), Type::Int),
        LiteralValue::Null => (Value::Null, Type::Null),
        LiteralValue::String(value) => (Value::string(value.inner()), Type::String),
        LiteralValue::UInt(value) => (Value::Uint(*value.inner()), Type::Uint),
    };
    (Code::Const(value), of)
}

/// `a.b.c`, if it is nothing but names.
fn qualified(operand: &IdedExpr, field: &str) -> Option<String> {
    match &operand.expr {
        Expr::Ident(name) => Some(format!("{name}.{field}")),
        Expr::Select(select) if !select.test => {
            qualified(&select.operand, &select.field).map(|name| format!("{name}.{field}"))
        }
        _ => None,
    }
}

fn type_named(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "int" => Type::Int,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "string" => Type::String,
        "type" => Type::Meta(Arc::new(Type::Dyn)),
        "uint" => Type::Uint,
        "optional_type" => Type::optional(Type::Dyn),
        "net.IP" => Type::Ip,
        "net.CIDR" => Type::Cidr,
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        _ => return None,
    })
}
