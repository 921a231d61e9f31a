//! What claims look like that are made with their pods.

use std::sync::Arc;

use testudo_core::claims::{Claim, ClaimKey, SeenClaim};

/// A ResourceClaimTemplate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its namespace, which is that of its claims, and its name.
    pub key: ClaimKey,
    claim: Claim,
}

impl Template {
    /// The template of claims like this one, whose key is the template's.
    pub(super) fn new(claim: Claim) -> Self {
        Self { key: claim.key.clone(), claim }
    }

    /// A claim of this name, as it is once it has been made.
    pub fn claim(&self, name: &str) -> SeenClaim {
        let key = ClaimKey { name: name.into(), ..self.key.clone() };
        let uid = format!("claim:{key}").into();
        SeenClaim {
            claim: Arc::new(Claim { key, uid, ..self.claim.clone() }),
            version: 0,
            allocation: None,
            is_reserved: false,
            leaving: false,
            made_for: None,
            is_of_group: false,
        }
    }
}
