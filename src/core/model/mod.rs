//! Values: quantities, products, MIG geometry, fabrics, nodes, pods and what they ask for.

pub mod accelerator;
pub mod catalogue;
pub mod exclusive;
pub mod fabric;
pub mod gang;
pub mod gpu_share;
pub mod inventory;
pub mod mig;
pub mod node;
pub mod place;
pub mod pod;
pub mod product;
pub mod quantity;
pub mod quota;
pub mod resources;
pub mod selector;
pub mod service;
pub mod shape;
pub mod taint;
