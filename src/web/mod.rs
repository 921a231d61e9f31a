//! The page: what the fleet holds and why, live, for people.
//!
//! [`view`] is what it shows, pure; the [`publisher`] computes it once for all who look; [`stream`] brings it to them as
//! server-sent events; [`server`] is HTTP around that and around questions ([`api`]). Everything is read only: what is tried
//! on the page ([`what_if`]) is tried on a branch of the engine.

mod api;
mod assets;
mod authentication;
mod guard;
mod publisher;
mod search;
mod server;
mod stream;
pub mod view;
mod what_if;

pub use authentication::Gatekeeper;
pub use publisher::Publisher;
pub use server::{PageOptions, Running, StartError, start};
