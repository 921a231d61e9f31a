//! The extender protocol, as kube-scheduler speaks it and as nobody should.

mod extender_protocol;
mod serving;
