//! `testudo plan`: what if this were started, and what if there were more nodes?

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::ensure;
use serde::Serialize;
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::place::CapacityType;

use super::Outcome;
use super::output::{Output, table};
use super::progress::while_working;
use super::source::Source;
use crate::k8s::manifests::{self, Limits, Manifests};
use crate::plan::{self, Fit, Growth, MAX_COPIES, More, Room, Workload, WorkloadError};

/// Flags of `testudo plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The workload, and the cluster if it is not a real one: files that have nodes, and snapshots, are the cluster, all
    /// others are workloads. YAML or JSON, `-` for the standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The cluster. Default: the one we run in, else $KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long)]
    context: Option<String>,
    /// Count how many copies fit at most, not only those that the manifest asks for.
    #[arg(long)]
    max: bool,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Plans. Exit 1 when not everything fits.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let (cluster_files, workload_files) = divide(&args.files)?;
    ensure!(
        !workload_files.is_empty(),
        "all of these files have nodes, so they are the cluster: add the manifest of what is to be started"
    );
    let names: Vec<String> = workload_files.iter().map(|file| file.display().to_string()).collect();
    let workloads = plan::workloads(&manifests::objects(&workload_files, &Limits::default())?)?;
    if workloads.is_empty() {
        return Err(WorkloadError::Nothing { files: names.join(", ") }.into());
    }
    ensure!(
        !args.max || workloads.len() == 1,
        "--max counts the copies of one workload, and there are {} in {}: give them one by one",
        workloads.len(),
        names.join(", ")
    );
    ensure!(
        cluster_files.is_empty() || (args.kubeconfig.is_none() && args.context.is_none()),
        "the files have nodes already: leave out --kubeconfig and --context, or the nodes"
    );
    let Args { kubeconfig, context, .. } = args;
    let cluster = Source { files: cluster_files, kubeconfig, context }.listed_manifests()?;
    let workloads: Vec<Workload> =
        workloads.into_iter().map(|it| it.with_templates(&cluster.templates)).collect::<Result<_, _>>()?;
    let answer = while_working("trying copies", || Answer::new(&cluster, &workloads, args.max))?;
    args.output.write(&answer, |out| answer.table(out))?;
    Ok(if answer.workloads.iter().all(WorkloadAnswer::fits) { Outcome::Done } else { Outcome::No })
}

/// The files that are the cluster, and those that are workloads.
fn divide(files: &[PathBuf]) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut cluster, mut workloads) = (vec![], vec![]);
    for file in files {
        let ours = std::slice::from_ref(file);
        let has_nodes = if file == std::path::Path::new("-") {
            // It can be read once only, and what is typed or piped in is what is to be started.
            false
        } else {
            manifests::objects(ours, &Limits::default())?.iter().any(|object| object["kind"] == "Node")
        };
        if has_nodes { cluster.push(file.clone()) } else { workloads.push(file.clone()) }
    }
    Ok((cluster, workloads))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    workloads: Vec<WorkloadAnswer>,
    /// Node groups that could be grown so that everything fits; absent where everything does.
    #[serde(skip_serializing_if = "Option::is_none")]
    growths: Option<Vec<GrowthAnswer>>,
    /// Pods of the cluster that wait for a node: they are not placed first.
    waiting_pods: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkloadAnswer {
    workload: String,
    /// Of one copy.
    pods: usize,
    starts_together: bool,
    asked: usize,
    /// With `--max`, all that fit; else no more than asked for.
    fitting: usize,
    /// How many pods go to each node.
    nodes: BTreeMap<String, usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refusals: Vec<RefusalAnswer>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RefusalAnswer {
    reason: String,
    nodes: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GrowthAnswer {
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity_type: Option<&'static str>,
    nodes: usize,
    more: usize,
}

impl Answer {
    fn new(cluster: &Manifests, workloads: &[Workload], max: bool) -> anyhow::Result<Self> {
        let catalogue = Catalogue::builtin();
        let mut room = Room::new(cluster, &catalogue, More::default())?;
        workloads.iter().try_for_each(|workload| room.can_judge(workload))?;
        let fits: Vec<Fit> = workloads
            .iter()
            .map(|workload| plan::fill(&mut room, workload, if max { MAX_COPIES } else { workload.copies }))
            .collect();
        let answers: Vec<WorkloadAnswer> =
            workloads.iter().zip(&fits).map(|(workload, fit)| WorkloadAnswer::new(workload, fit)).collect();
        let wanted: Vec<(&Workload, usize)> = workloads.iter().map(|workload| (workload, workload.copies)).collect();
        let growths = match answers.iter().all(WorkloadAnswer::fits) {
            true => None,
            false => Some(plan::growths(cluster, &catalogue, &wanted)?.iter().map(GrowthAnswer::new).collect()),
        };
        Ok(Self { workloads: answers, growths, waiting_pods: plan::waiting(cluster) })
    }

    fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for workload in &self.workloads {
            workload.table(out)?;
        }
        if self.waiting_pods > 0 {
            writeln!(out, "{} pods of the cluster wait for a node; they are not placed first", self.waiting_pods)?;
        }
        match &self.growths {
            None => Ok(()),
            Some(growths) if growths.is_empty() => {
                writeln!(out, "Growing one node group alone makes it fit in no case")
            }
            Some(growths) => {
                writeln!(out, "Everything fits once one of these has grown:")?;
                let mut table = table();
                table.set_header(["NODE GROUP", "INSTANCE TYPE", "CAPACITY", "NODES", "MORE"]);
                for growth in growths {
                    table.add_row([
                        growth.group.clone(),
                        growth.instance_type.clone().unwrap_or_default(),
                        growth.capacity_type.unwrap_or_default().to_owned(),
                        growth.nodes.to_string(),
                        format!("+{}", growth.more),
                    ]);
                }
                writeln!(out, "{table}")
            }
        }
    }
}

impl WorkloadAnswer {
    fn new(workload: &Workload, fit: &Fit) -> Self {
        let mut nodes: BTreeMap<String, usize> = BTreeMap::new();
        for node in fit.placed.iter().flat_map(|placed| &placed.nodes) {
            *nodes.entry(node.to_string()).or_default() += 1;
        }
        let refusals = fit.refusal.iter().flat_map(|refusal| &refusal.nodes);
        Self {
            workload: workload.name.clone(),
            pods: workload.pods(),
            starts_together: workload.is_gang(),
            asked: workload.copies,
            fitting: fit.placed.len(),
            nodes,
            reason: fit.refusal.as_ref().map(|refusal| refusal.reason.clone()),
            refusals: refusals.map(|(reason, nodes)| RefusalAnswer { reason: reason.clone(), nodes: *nodes }).collect(),
        }
    }

    fn fits(&self) -> bool {
        self.fitting >= self.asked
    }

    fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let copy = match (self.pods, self.starts_together) {
            (1, _) => "each a pod".to_owned(),
            (pods, true) => format!("each {pods} pods that start together"),
            (pods, false) => format!("each {pods} pods"),
        };
        writeln!(out, "{}: {} fit, {} asked for ({copy})", self.workload, self.fitting, self.asked)?;
        if let Some(reason) = &self.reason {
            writeln!(out, "  not more: {reason}")?;
        }
        if !self.refusals.is_empty() {
            let mut table = table();
            table.set_header(["NODES", "VERDICT"]);
            for refusal in &self.refusals {
                table.add_row([refusal.nodes.to_string(), refusal.reason.clone()]);
            }
            writeln!(out, "{table}")?;
        }
        if self.nodes.is_empty() {
            return Ok(());
        }
        let mut table = table();
        table.set_header(["NODE", "PODS"]);
        for (node, pods) in &self.nodes {
            table.add_row([node.clone(), pods.to_string()]);
        }
        writeln!(out, "{table}")
    }
}

impl GrowthAnswer {
    fn new(growth: &Growth) -> Self {
        Self {
            group: growth.group.name.clone(),
            instance_type: growth.group.instance_type.clone(),
            capacity_type: growth.group.capacity_type.map(capacity),
            nodes: growth.nodes,
            more: growth.more,
        }
    }
}

fn capacity(capacity: CapacityType) -> &'static str {
    match capacity {
        CapacityType::OnDemand => "on-demand",
        CapacityType::Spot => "spot",
        CapacityType::Reserved => "reserved",
    }
}
