//! Testudo: a kube-scheduler extender for GPU clusters.
//!
//! The decisions are taken in [`testudo_core`]; this crate holds the adapters around it: the extender protocol
//! ([`extender`]), the admission webhook ([`admission`]), Kubernetes objects, watches and bindings ([`k8s`]), ResourceClaims
//! ([`claims`]), the engine's home in a process ([`host`]), the configuration file ([`config`]), the policy file ([`policy`]),
//! gauges of the state ([`metrics`]), the page ([`web`]), clusters in one file ([`snapshot`]), reasons and what to do about them ([`explain`]), what-if ([`plan`]), the fleet
//! at a glance ([`overview`]), simulated clusters ([`sim`]), the demo on one ([`demo`]), what must be true ([`check`]), a trial
//! beside another scheduler ([`trial`]), what plays kube-scheduler there ([`kube_scheduler`]) and the command line ([`cli`]).

pub mod admission;
pub mod check;
pub mod claims;
pub mod cli;
pub mod config;
pub mod demo;
pub mod explain;
pub mod extender;
pub mod host;
pub mod k8s;
pub mod kube_scheduler;
mod listener;
pub mod metrics;
pub mod overview;
pub mod plan;
pub mod policy;
pub mod sim;
pub mod snapshot;
pub mod trial;
pub mod web;
