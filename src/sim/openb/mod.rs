//! The openb trace (Alibaba, published with FGD, ATC'23): nodes and pods as CSV, read into Kubernetes objects.
//!
//! A GPU model becomes the label that the open-source simulator of that paper uses, and GPUs become its resource of
//! thousandths: below 1000 a pod asks for a share of one GPU, in multiples of 1000 for whole ones. From there on a trace
//! is a cluster like any other.

mod node;
mod pod;
mod table;

pub use node::nodes;
pub use pod::{PodRow, pods};
pub use table::CsvError;

/// Thousandths of GPUs.
pub const GPU_MILLI: &str = "alibabacloud.com/gpu-milli";

/// The label of a node that names the model of its GPUs.
pub const GPU_MODEL: &str = "alibabacloud.com/gpu-card-model";

/// The thousandths of one GPU.
pub const WHOLE_GPU: i64 = 1000;
