//! The product catalogue.

/// The product catalogue.
#[derive(Debug)]
pub struct Catalogue;
