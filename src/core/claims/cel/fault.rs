//! What goes wrong while an expression is evaluated.

use thiserror::Error;

use super::value::Value;

/// A value, or what went wrong.
pub(super) type Eval<T> = Result<T, Fault>;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Fault {
    /// A key that is not there. An operand of `&&` or `||` may be that, when the other decides.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// An operation that is not for these values.
    #[error("no such overload: {0}")]
    NoSuchOverload(String),
    /// Anything else that is about a value.
    #[error("{0}")]
    Value(String),
    /// It takes too long. Nothing makes up for that.
    #[error("operation cancelled: actual cost limit exceeded")]
    Cost,
}

impl Fault {
    pub fn overload(function: &str, args: &[&Value]) -> Fault {
        let types: Vec<&str> = args.iter().map(|arg| arg.type_name()).collect();
        Fault::NoSuchOverload(format!("{function} for ({})", types.join(", ")))
    }

    pub fn value(what: impl Into<String>) -> Fault {
        Fault::Value(what.into())
    }
}
