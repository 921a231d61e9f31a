//! Types of expressions, and which goes for which: the rules of `cel-go`'s checker.

use std::fmt;
use std::sync::Arc;

/// The type of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    /// Known only when the expression is evaluated.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Quantity,
    Semver,
    Ip,
    Cidr,
    Duration,
    Timestamp,
    Url,
    Format,
    /// One of the authorization library. Its functions are known, but nothing that they could be called on.
    Authorization(&'static str),
    Device,
    Pod,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Optional(Arc<Type>),
    /// Of a type itself.
    Meta(Arc<Type>),
    /// Not known yet.
    Var(usize),
}

impl Type {
    pub fn list(item: Type) -> Type {
        Type::List(Arc::new(item))
    }

    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new(key), Arc::new(value))
    }

    pub fn optional(inner: Type) -> Type {
        Type::Optional(Arc::new(inner))
    }

    fn mentions(&self, var: usize, vars: &Unknowns) -> bool {
        match self {
            Type::Var(own) => *own == var || vars.known[*own].as_ref().is_some_and(|known| known.mentions(var, vars)),
            Type::List(item) | Type::Optional(item) | Type::Meta(item) => item.mentions(var, vars),
            Type::Map(key, value) => key.mentions(var, vars) || value.mentions(var, vars),
            _ => false,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Dyn | Type::Var(_) => "dyn",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Quantity => "kubernetes.Quantity",
            Type::Semver => "kubernetes.Semver",
            Type::Ip => "net.IP",
            Type::Cidr => "net.CIDR",
            Type::Duration => "google.protobuf.Duration",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::Url => "kubernetes.URL",
            Type::Format => "kubernetes.NamedFormat",
            Type::Authorization(name) => return write!(f, "kubernetes.authorization.{name}"),
            Type::Device => "kubernetes.DRADevice",
            Type::Pod => "testudo.Pod",
            Type::List(item) => return write!(f, "list({item})"),
            Type::Map(key, value) => return write!(f, "map({key}, {value})"),
            Type::Optional(inner) => return write!(f, "optional_type({inner})"),
            Type::Meta(inner) => return write!(f, "type({inner})"),
        })
    }
}

/// Types that are not known yet, and what is known of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Unknowns {
    known: Vec<Option<Type>>,
}

impl Unknowns {
    /// One more.
    pub fn fresh(&mut self) -> Type {
        self.known.push(None);
        Type::Var(self.known.len() - 1)
    }

    /// So many more; the number of the first.
    pub fn fresh_block(&mut self, count: usize) -> usize {
        let first = self.known.len();
        self.known.resize(first + count, None);
        first
    }

    /// A type as far as it is known.
    pub fn resolve(&self, wanted: &Type) -> Type {
        match wanted {
            Type::Var(var) => match &self.known[*var] {
                Some(known) => self.resolve(known),
                None => wanted.clone(),
            },
            Type::List(item) => Type::list(self.resolve(item)),
            Type::Optional(inner) => Type::optional(self.resolve(inner)),
            Type::Meta(inner) => Type::Meta(Arc::new(self.resolve(inner))),
            Type::Map(key, value) => Type::map(self.resolve(key), self.resolve(value)),
            _ => wanted.clone(),
        }
    }

    /// Whether values of these types go where those are expected. What follows from that for unknown types is kept, if
    /// they all do.
    pub fn assign(&mut self, actual: &[Type], expected: &[Type]) -> bool {
        let before = self.known.clone();
        let fits = actual.iter().zip(expected).all(|(actual, expected)| self.goes_for(actual, expected));
        if !fits {
            self.known = before;
        }
        fits
    }

    fn goes_for(&mut self, actual: &Type, expected: &Type) -> bool {
        if let Type::Var(var) = expected {
            let (fits, decided) = self.substitute(actual, *var);
            if fits || decided {
                return fits;
            }
        }
        if let Type::Var(var) = actual {
            return self.substitute(expected, *var).0;
        }
        match (actual, expected) {
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::Null, other) | (other, Type::Null) => {
                use Type::{Authorization, Cidr, Device, Duration, Format, Ip, Null, Optional, Pod};
                use Type::{Quantity, Semver, Timestamp, Url};
                let is_added = matches!(other, Quantity | Semver | Ip | Cidr | Url | Format | Authorization(_));
                is_added || matches!(other, Null | Duration | Timestamp | Device | Pod | Optional(_))
            }
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.goes_for(a, b),
            (Type::Map(a, x), Type::Map(b, y)) => self.goes_for(a, b) && self.goes_for(x, y),
            // Types of types are all of one kind.
            (Type::Meta(_), Type::Meta(_)) => true,
            _ => actual == expected,
        }
    }

    /// Whether a type goes for an unknown one, and whether something was known of that before.
    fn substitute(&mut self, wanted: &Type, var: usize) -> (bool, bool) {
        if *wanted == Type::Var(var) {
            return (true, true);
        }
        match self.known[var].clone() {
            Some(known) if known == *wanted => (true, true),
            Some(known) => {
                if !self.goes_for(wanted, &known) {
                    return (false, true);
                }
                let general = if is_less_specific(wanted, &known) { wanted.clone() } else { known };
                if !general.mentions(var, self) {
                    self.known[var] = Some(general);
                }
                (true, true)
            }
            None if wanted.mentions(var, self) => (false, false),
            None => {
                self.known[var] = Some(wanted.clone());
                (true, false)
            }
        }
    }

    /// One type for both, if there is one.
    pub fn join(&mut self, so_far: Option<Type>, next: Type) -> Option<Type> {
        let Some(so_far) = so_far else { return Some(next) };
        if !self.assign(std::slice::from_ref(&so_far), std::slice::from_ref(&next)) {
            return None;
        }
        Some(if is_less_specific(&so_far, &next) { so_far } else { next })
    }
}

/// Whether a type says at most as much as another.
fn is_less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Var(_), _) => true,
        (_, Type::Dyn | Type::Var(_)) => false,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => is_less_specific(a, b),
        (Type::Map(a, x), Type::Map(b, y)) => is_less_specific(a, b) && is_less_specific(x, y),
        (Type::Meta(_), Type::Meta(_)) => true,
        _ => a == b,
    }
}
