//! A model of the API server: what it keeps ([`store`]), how it answers ([`requests`]), what patches do ([`patch`]).
//!
//! Requests are taken in as HTTP, one at a time and each at one moment: what lies between two of them, and between a
//! request and its answer, is the network's ([`crate::network`]).

pub mod patch;
pub mod requests;
pub mod store;
pub mod view;
