//! How far from the optimum are decisions? Small instances are solved exactly, with all that comes known up front; what
//! we decide pod by pod, without knowing the next, is held within a stated distance of that.
//!
//! The exact answers are themselves tested: each optimum is a placement that an independent checker accepts, so it is not
//! too high, and on tiny instances a plain search through all placements finds none better, so it is not too low.

mod cluster;
mod gap;
mod links;
mod shares;
mod slices;
