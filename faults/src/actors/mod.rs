//! Who else writes to the API server: machines and their drivers ([`machines`]), an autoscaler ([`autoscaler`]), kubelets
//! ([`kubelets`]), the controller of claims ([`controllers`]), Kueue ([`kueue`]), and users with what keeps their workloads
//! ([`users`]).

pub mod autoscaler;
pub mod controllers;
pub mod kubelets;
pub mod kueue;
pub mod machines;
pub mod users;
