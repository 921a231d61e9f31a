//! What is decided, explained: the facts that `testudo explain` writes as tables and the page shows.

pub mod gang;
pub mod node;
pub mod pod;
