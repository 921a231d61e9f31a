//! Our allocator's answer to a case.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use testudo::claims::{Outcome, allocate};

use crate::case::{Case, is_pending, text};
use crate::oracle::AllocatedClaim;

/// What ours says of a case.
pub enum Ours {
    /// The claims that were to be allocated are, on a node.
    Fits { node: String, claims: Vec<AllocatedClaim> },
    /// They cannot be, which is proven or only likely.
    NoFit { reason: String, complete: bool },
    /// The question is wrong.
    Error(String),
    /// It did not answer, or changed what it must not.
    Broken(String),
}

impl fmt::Display for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            Self::Fits { node, claims } => write!(f, "on {node}, {claims:?}"),
            Self::NoFit { reason, .. } => f.write_str(reason),
            Self::Error(text) | Self::Broken(text) => f.write_str(text),
        }
    }
}

impl Ours {
    /// As upstream's outcomes are called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fits { .. } => "fits",
            Self::NoFit { complete: true, .. } => "no-fit",
            Self::NoFit { complete: false, .. } => "gave-up",
            Self::Error(_) => "error",
            Self::Broken(_) => "broken",
        }
    }
}

/// Asks ours.
pub fn ours(case: &Case, node: Option<&str>) -> Ours {
    let outcome = catch_unwind(AssertUnwindSafe(|| allocate(&case.objects, node)));
    match outcome {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Ours::Broken(format!("panicked: {}", text.unwrap_or_default()))
        }
        Ok(Outcome::Error(error)) => Ours::Error(error.to_string()),
        Ok(Outcome::DoesNotFit { reason, complete, .. }) => Ours::NoFit { reason: reason.to_string(), complete },
        Ok(Outcome::Allocated { node, claims, .. }) => {
            let asked: Vec<_> = case.of("ResourceClaim").collect();
            if asked.len() != claims.len() {
                return Ours::Broken(format!("{} claims came out, {} went in", claims.len(), asked.len()));
            }
            for (asked, claim) in asked.iter().zip(&claims) {
                let same = asked["metadata"]["name"] == claim["metadata"]["name"]
                    && asked["spec"] == claim["spec"]
                    && (is_pending(asked) || asked["status"] == claim["status"]);
                if !same {
                    return Ours::Broken(format!("{} came out as {claim}", asked["metadata"]["name"]));
                }
            }
            let fresh =
                asked.iter().zip(claims).filter(|(asked, _)| is_pending(asked)).map(|(_, claim)| AllocatedClaim {
                    name: text(&claim["metadata"]["name"]).to_owned(),
                    allocation: claim["status"]["allocation"].clone(),
                });
            Ours::Fits { node, claims: fresh.collect() }
        }
    }
}
