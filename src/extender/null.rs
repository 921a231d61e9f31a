//! The extender that decides nothing: what is left is the cost of the protocol.

use std::collections::BTreeMap;

use super::{Binding, Candidate, Extender, Offer, Refusal, Verdicts};
use crate::k8s::object;

/// Accepts every node, scores all 5, keeps every victim, and answers bind with yes **without binding**. It is what
/// benchmarks compare with, and of no use in front of a cluster.
#[derive(Debug, Clone, Copy, Default)]
pub struct Null;

impl Extender for Null {
    fn filter(&self, _: &object::Pod, offer: &Offer<'_>) -> Result<Verdicts, Refusal> {
        Ok(Verdicts::all_fit(offer.len()))
    }

    fn prioritize(&self, _: &object::Pod, offer: &Offer<'_>) -> Result<Vec<u8>, Refusal> {
        Ok(vec![5; offer.len()])
    }

    async fn bind(&self, _: Binding) -> Result<(), Refusal> {
        Ok(())
    }

    fn preempt(
        &self,
        _: &object::Pod,
        candidates: BTreeMap<String, Candidate>,
    ) -> Result<BTreeMap<String, Candidate>, Refusal> {
        Ok(candidates)
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}
