//! Nodes of the trace: `sn,cpu_milli,memory_mib,gpu,model`.

use std::collections::BTreeMap;
use std::path::Path;

use super::table::{CsvError, Table};
use super::{GPU_MILLI, GPU_MODEL, WHOLE_GPU};
use crate::k8s::object::{Metadata, Node, NodeStatus, ResourceList};
use crate::sim::input::Limits;

/// No machine has more GPUs.
const MAX_GPUS: i64 = 64;

/// A trace limits how many pods a node takes by what they ask for, and not by their number.
const MAX_PODS: &str = "100000";

/// Reads the nodes of a file.
///
/// # Errors
/// On whatever cannot be understood, with the line.
pub fn nodes(path: &Path, limits: &Limits) -> Result<Vec<Node>, CsvError> {
    let table = Table::read(path, limits.file_bytes, limits.nodes)?;
    let (name, cpu, memory) = (table.column("sn")?, table.column("cpu_milli")?, table.column("memory_mib")?);
    let (gpus, model) = (table.column("gpu")?, table.column("model")?);
    let mut lines = BTreeMap::new();
    let mut nodes = vec![];
    for row in table.rows() {
        let sn = row.name(name)?;
        if let Some(first) = lines.insert(sn, row.line()) {
            return Err(row.wrong(format!("node {sn} is there twice, first on line {first}")));
        }
        let count = row.number(gpus)?;
        if count > MAX_GPUS {
            return Err(row.wrong(format!("node {sn} has {count} GPUs, more than {MAX_GPUS}")));
        }
        let mut labels = BTreeMap::from([("kubernetes.io/hostname".to_owned(), sn.to_owned())]);
        let mut amounts = ResourceList::from([
            ("cpu".to_owned(), format!("{}m", row.number(cpu)?).as_str().into()),
            ("memory".to_owned(), format!("{}Mi", row.number(memory)?).as_str().into()),
            ("pods".to_owned(), MAX_PODS.into()),
        ]);
        if count > 0 {
            labels.insert(GPU_MODEL.to_owned(), row.name(model)?.to_owned());
            amounts.insert(GPU_MILLI.to_owned(), (count * WHOLE_GPU).to_string().as_str().into());
        }
        nodes.push(Node {
            metadata: Metadata { name: sn.to_owned(), uid: format!("openb:{sn}"), labels, ..Metadata::default() },
            status: NodeStatus { capacity: amounts.clone(), allocatable: amounts },
            ..Node::default()
        });
    }
    Ok(nodes)
}
