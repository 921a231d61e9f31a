//! Who else writes to the API server: machines and their drivers ([`machines`]), an autoscaler ([`autoscaler`]), kubelets
//! ([`kubelets`]), the controllers of claims and of lost pods ([`controllers`]), and users with what keeps their workloads
//! ([`users`]).

pub mod autoscaler;
pub mod controllers;
pub mod kubelets;
pub mod machines;
pub mod users;
