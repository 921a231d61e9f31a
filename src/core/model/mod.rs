//! Values: GPU products, MIG geometry, fabrics.

pub mod catalogue;
pub mod fabric;
pub mod mig;
pub mod product;
