//! Testudo against a real control plane: a typed harness for end-to-end tests.
//!
//! [`ControlPlane`] starts etcd, kube-apiserver, kube-controller-manager and kwok on loopback; [`Scheduler`] and
//! [`Testudo`] are started, stopped and killed beside it; [`Namespace`] creates nodes and pods and waits for what
//! becomes of them. Nothing outlives the test process, however it ends (see [`process`]).

pub mod audit;
pub mod books;
pub mod browser;
pub mod chart;
pub mod command;
mod components;
pub mod control_plane;
pub mod device_books;
pub mod devices;
pub mod doubles;
pub mod endpoint;
pub mod kubeconfig;
pub mod manifests;
pub mod metrics;
pub mod mirror;
pub mod namespace;
pub mod node;
pub mod node_group;
pub mod observer;
pub mod pki;
pub mod pod;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod scheduler;
pub mod scheduler_config;
pub mod secret_mount;
pub mod service;
pub mod testudo;
pub mod tools;
pub mod wait;
pub mod workdir;

pub use control_plane::{ControlPlane, Options};
pub use kubeconfig::Kubeconfig;
pub use metrics::Metrics;
pub use namespace::Namespace;
pub use node::{NodeBuilder, node};
pub use observer::Observer;
pub use pod::{PodBuilder, pod};
pub use scheduler::Scheduler;
pub use scheduler_config::{Adaptation, Extender, SchedulerConfig};
pub use service::Service;
pub use testudo::{Testudo, TestudoOptions, Tls};
pub use tools::Version;
