//! Pods of the trace: `name,cpu_milli,memory_mib,num_gpu,gpu_milli`, and where known `gpu_spec`, `creation_time` and
//! `deletion_time`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::table::{CsvError, Row, Table};
use super::{GPU_MILLI, GPU_MODEL, WHOLE_GPU};
use crate::k8s::object::{
    Affinity, Container, Metadata, NodeAffinity, NodeSelector, NodeSelectorTerm, Pod, PodSpec, PodStatus, Requirement,
    ResourceList, ResourceRequirements,
};
use crate::sim::input::Limits;

/// A pod, and where it stands in the file.
#[derive(Debug, Clone)]
pub struct PodRow {
    /// The pod, as it is created: with no node yet, whatever became of it when the trace was taken.
    pub pod: Pod,
    /// The line, counted from 1.
    pub line: u64,
    /// The models of GPUs that it accepts; none: any.
    pub models: BTreeSet<String>,
}

/// The columns, by where they stand.
struct Columns {
    name: usize,
    cpu: usize,
    memory: usize,
    gpus: usize,
    milli: usize,
    spec: Option<usize>,
    created: Option<usize>,
    deleted: Option<usize>,
}

/// Reads the pods of a file.
///
/// # Errors
/// On whatever cannot be understood, with the line.
pub fn pods(path: &Path, limits: &Limits) -> Result<Vec<PodRow>, CsvError> {
    let table = Table::read(path, limits.file_bytes, limits.pods)?;
    let columns = Columns {
        name: table.column("name")?,
        cpu: table.column("cpu_milli")?,
        memory: table.column("memory_mib")?,
        gpus: table.column("num_gpu")?,
        milli: table.column("gpu_milli")?,
        spec: table.optional("gpu_spec"),
        created: table.optional("creation_time"),
        deleted: table.optional("deletion_time"),
    };
    let mut lines = BTreeMap::new();
    let mut pods = vec![];
    for row in table.rows() {
        let pod = read(&row, &columns)?;
        if let Some(first) = lines.insert(pod.pod.metadata.name.clone(), pod.line) {
            let name = &pod.pod.metadata.name;
            return Err(row.wrong(format!("pod {name} is there twice, first on line {first}")));
        }
        pods.push(pod);
    }
    Ok(pods)
}

fn read(row: &Row<'_>, columns: &Columns) -> Result<PodRow, CsvError> {
    let name = row.name(columns.name)?;
    let mut requests = ResourceList::from([
        ("cpu".to_owned(), format!("{}m", row.number(columns.cpu)?).as_str().into()),
        ("memory".to_owned(), format!("{}Mi", row.number(columns.memory)?).as_str().into()),
    ]);
    let gpu_milli = gpu_milli(row, columns)?;
    if gpu_milli > 0 {
        requests.insert(GPU_MILLI.to_owned(), gpu_milli.to_string().as_str().into());
    }
    let spec = columns.spec.map_or("", |column| row.text(column));
    let models: BTreeSet<String> = spec.split('|').filter(|model| !model.is_empty()).map(str::to_owned).collect();
    let (created, deleted) = times(row, columns)?;
    let pod = Pod {
        metadata: Metadata {
            name: name.to_owned(),
            namespace: "default".into(),
            uid: format!("openb:{name}"),
            creation_timestamp: created,
            deletion_timestamp: deleted,
            ..Metadata::default()
        },
        spec: PodSpec {
            affinity: (!models.is_empty()).then(|| one_of(&models)),
            containers: vec![Container {
                name: "main".into(),
                resources: ResourceRequirements { requests, ..ResourceRequirements::default() },
                ..Container::default()
            }],
            ..PodSpec::default()
        },
        status: PodStatus { phase: Some("Pending".into()), ..PodStatus::default() },
    };
    Ok(PodRow { pod, line: row.line(), models })
}

/// How much GPU the pod asks for in all.
fn gpu_milli(row: &Row<'_>, columns: &Columns) -> Result<i64, CsvError> {
    let (count, milli) = (row.number(columns.gpus)?, row.number(columns.milli)?);
    match (count, milli) {
        (0, _) => Ok(0),
        (1, 1..WHOLE_GPU) => Ok(milli),
        (_, WHOLE_GPU) => Ok(count * WHOLE_GPU),
        _ => Err(row.wrong(format!(
            "num_gpu {count} with gpu_milli {milli}: a pod asks for a share of one GPU (1, 1..999) or for whole ones \
             (n, {WHOLE_GPU})"
        ))),
    }
}

/// When the pod came and went, as the API server writes it; a trace counts seconds from its beginning.
fn times(row: &Row<'_>, columns: &Columns) -> Result<(Option<String>, Option<String>), CsvError> {
    /// The last second of the year 9999: no later one can be written.
    const LAST: i64 = 253_402_300_799;
    let seconds = |column: Option<usize>| match column.filter(|column| !row.text(*column).is_empty()) {
        None => Ok(None),
        Some(column) => match row.number(column)? {
            seconds if seconds > LAST => Err(row.wrong(format!("{seconds} s is after the year 9999"))),
            seconds => Ok(Some(seconds.unsigned_abs())),
        },
    };
    let (created, deleted) = (seconds(columns.created)?, seconds(columns.deleted)?);
    if let (Some(created), Some(deleted)) = (created, deleted)
        && deleted < created
    {
        return Err(row.wrong(format!("deletion_time {deleted} is before creation_time {created}")));
    }
    let stamp = |seconds: Option<u64>| {
        let at = seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        at.map(|at| humantime::format_rfc3339_seconds(at).to_string())
    };
    Ok((stamp(created), stamp(deleted)))
}

/// The node must have one of these GPUs.
fn one_of(models: &BTreeSet<String>) -> Affinity {
    let models = models.iter().cloned().collect();
    let requirement = Requirement { key: GPU_MODEL.into(), operator: "In".into(), values: models };
    let term = NodeSelectorTerm { match_expressions: vec![requirement], ..NodeSelectorTerm::default() };
    let required = Some(NodeSelector { node_selector_terms: vec![term] });
    let node_affinity = Some(NodeAffinity { required, ..NodeAffinity::default() });
    Affinity { node_affinity, ..Affinity::default() }
}
