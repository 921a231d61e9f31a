//! The policy file: what places are chosen for, by pod.
//!
//! Versioned like a Kubernetes object, and strict: what is not understood is refused, with the place in the file.

mod file;
pub mod ready_made;
pub mod reference;
pub mod scheduler;
mod watch;

use std::path::{Path, PathBuf};

use testudo_core::engine::PlacementPolicy;
use testudo_core::yaml::{self, YamlError};
use thiserror::Error;

use crate::claims::{ClaimsError, with_large_stack};
pub use file::{API_VERSION, KIND, PolicyFile};
pub use watch::Watched;

/// A policy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read the policy {path}: {problem}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The text makes no sense.
    #[error("{path}:{}:{}: {}", .at.line, .at.column, .at.message)]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What, and where.
        at: YamlError,
    },
}

/// A policy, and what is to be said about it beside that it can be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Read {
    /// The policy.
    pub policy: PlacementPolicy,
    /// What in it is allowed and hardly meant.
    pub warnings: Vec<String>,
}

/// Reads and checks a file.
///
/// # Errors
/// When it cannot be read or used; the error names the file, and line and column of what is wrong.
pub fn load(path: &Path) -> Result<Read, PolicyError> {
    Watched::open(path).map(|(_, read)| read)
}

/// Reads and checks the text of a file.
///
/// # Errors
/// When it cannot be used.
pub fn parse(text: &str, path: &Path) -> Result<Read, PolicyError> {
    let wrong = |at| PolicyError::Wrong { path: path.to_path_buf(), at };
    let file: PolicyFile = yaml::read(text).map_err(wrong)?;
    // Selectors are compiled, and that recurses as deep as they are nested.
    let unread =
        |problem: ClaimsError| PolicyError::Unreadable { path: path.to_path_buf(), problem: problem.to_string() };
    with_large_stack(|| Ok(file.policy())).map_err(unread)?.map_err(wrong)
}

#[cfg(test)]
mod tests;
