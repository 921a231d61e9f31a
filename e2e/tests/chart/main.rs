//! What is shipped beside the program: the chart, what is rendered from it, policies, alerts. No control plane is needed;
//! `e2e/tools/build.sh` has to have been there for helm and kubeconform.

mod alerts;
mod chart;
mod documented;
mod rendered;
mod schemas;
mod values;
