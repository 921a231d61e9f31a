//! `testudo demo`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{Cell, CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle};
use indicatif::{ProgressBar, ProgressDrawTarget};
use prometheus_client::registry::Registry;
use serde::Serialize;
use testudo_core::engine::Policy;
use testudo_core::model::catalogue::Catalogue;

use super::Outcome;
use super::output::{stdout, write_json};
use super::progress;
use super::serve::stop_signal;
use super::telemetry::{self, LogArgs, LogFormat};
use crate::config::Mode;
use crate::demo::run::{Event, EventKind, Plan, Simulation, short};
use crate::demo::summary::{Calls, Pool, Summary, Waiting};
use crate::extender::metrics::Metrics;
use crate::extender::{self, ServerOptions};
use crate::host::{Bindings, Host};
use crate::kube_scheduler::client::OfferForm;
use crate::overview::Prices;
use crate::sim::{fleet, workload};
use crate::web::{self, PageOptions};

/// Flags of `testudo demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many nodes the fleet has.
    #[arg(long, value_name = "N", default_value_t = fleet::DEFAULT_NODES, value_parser = at_least_one)]
    nodes: usize,
    /// How many pods come [default: 8 for every node].
    #[arg(long, value_name = "N")]
    pods: Option<usize>,
    /// How many gangs come beside them [default: one for every five nodes].
    #[arg(long, value_name = "N")]
    gangs: Option<usize>,
    /// How much of what comes is there from the beginning.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    filled: u8,
    /// Decides the order of the pods and who finishes when. The same seed gives the same placements.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Offer whole nodes and not only their names, as kube-scheduler does with `nodeCacheCapable: false`.
    #[arg(long)]
    nodes_form: bool,
    /// The time from one pod to the next, for watching [default: 20ms on a terminal, else 0s].
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pace: Option<Duration>,
    /// Only the summary.
    #[arg(short, long)]
    quiet: bool,
    /// How the summary is written.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Go on when all have come, until Ctrl-C: pods finish and come again, and the page shows it. The default on a terminal.
    #[arg(long)]
    serve: bool,
    /// End when all have come.
    #[arg(long, conflicts_with = "serve")]
    once: bool,
    /// Where the page is served; port 0 takes a free one [default: 127.0.0.1:8890, or a free port where that is taken].
    #[arg(long, value_name = "ADDRESS")]
    web_bind_address: Option<SocketAddr>,
    /// What nodes cost, for the page: a file as for `testudo top`.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Where the extender listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    bind_address: SocketAddr,
    /// What is logged: error, warn, info, debug or trace, also by module (`warn,testudo::host=debug`).
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    log_level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a fleet has at least one node".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// Shows it.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    telemetry::start(&LogArgs { logging_format: LogFormat::Text, log_level: args.log_level.clone() })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(show(&args))?;
    Ok(Outcome::Done)
}

async fn show(args: &Args) -> anyhow::Result<()> {
    let prices = args.prices.as_deref().map(Prices::load).transpose()?;
    let mut registry = Registry::default();
    let catalogue = Catalogue::builtin();
    let host = Arc::new(Host::new(Policy::default(), Mode::Enforce, catalogue, Bindings::OwnCopy, &mut registry));
    let options = ServerOptions { bind_address: args.bind_address, workers: 2, ..ServerOptions::default() };
    let metrics = Metrics::register(&mut registry);
    crate::metrics::register(&mut registry, &host);
    let server = extender::start(Arc::clone(&host), options, metrics.clone(), Arc::new(registry))?;
    let address = server.address();

    let goes_on = args.serve || (!args.once && args.output == Output::Table && std::io::stdout().is_terminal());
    let plan = Plan {
        nodes: args.nodes,
        pods: args.pods.unwrap_or(args.nodes * workload::PODS_PER_NODE),
        gangs: args.gangs.unwrap_or(args.nodes / NODES_PER_GANG),
        filled: args.filled,
        seed: args.seed,
        form: if args.nodes_form { OfferForm::Nodes } else { OfferForm::Names },
    };
    let mut simulation = Simulation::new(&plan, host.clone(), address)?;
    let page = if goes_on { Some(serve_page(&host, args.web_bind_address, prices, &metrics)?) } else { None };
    let mut screen = Screen::new(args, plan.pods + plan.gangs);
    screen.introduce(&plan, address, page.as_ref().map(web::Running::address))?;
    let mut stop = std::pin::pin!(stop_signal()?);
    let played = tokio::select! {
        played = play(&mut simulation, args, &mut screen) => Some(played?),
        () = &mut stop => None,
    };
    if let Some(events) = played {
        let summary = simulation.summary();
        match args.output {
            Output::Json => {
                write_json(&Report { events: if args.quiet { None } else { Some(&events) }, summary: &summary })?
            }
            Output::Table => screen.summary(&summary)?,
        }
        if goes_on {
            screen.invite(address, page.as_ref().map(web::Running::address))?;
            tokio::select! {
                result = go_on(&mut simulation, &host, args, &mut screen) => result?,
                () = &mut stop => {}
            }
        }
    }
    if let Some(page) = page {
        page.stop().await;
    }
    server.stop(false).await;
    Ok(())
}

/// Serves the page, on the usual port if nobody has that.
fn serve_page(
    host: &Arc<Host>,
    address: Option<SocketAddr>,
    prices: Option<Prices>,
    metrics: &Metrics,
) -> anyhow::Result<web::Running> {
    let usual = PageOptions { title: "demo".into(), prices, ..PageOptions::default() };
    if let Some(bind_address) = address {
        return Ok(web::start(Arc::clone(host), PageOptions { bind_address, ..usual }, metrics)?);
    }
    let any = PageOptions { bind_address: SocketAddr::from(([127, 0, 0, 1], 0)), ..usual.clone() };
    Ok(web::start(Arc::clone(host), usual, metrics).or_else(|_| web::start(Arc::clone(host), any, metrics))?)
}

/// Where there is a gang for so many nodes, some start and some wait.
const NODES_PER_GANG: usize = 5;

/// The time from one event to the next once all have come.
const CALM_PACE: Duration = Duration::from_millis(400);

async fn play(simulation: &mut Simulation, args: &Args, screen: &mut Screen) -> anyhow::Result<Vec<Event>> {
    let watched = std::io::stdout().is_terminal() && screen.lines;
    let pace = args.pace.unwrap_or(if watched { Duration::from_millis(20) } else { Duration::ZERO });
    let mut all = vec![];
    while let Some(events) = simulation.step().await? {
        for event in &events {
            screen.event(event)?;
        }
        all.extend(events);
        screen.bar.inc(1);
        tokio::time::sleep(pace).await;
    }
    screen.bar.finish_and_clear();
    Ok(all)
}

/// Pods finish and come again; ends only with an error.
async fn go_on(simulation: &mut Simulation, host: &Host, args: &Args, screen: &mut Screen) -> anyhow::Result<()> {
    loop {
        for event in simulation.go_on().await? {
            screen.event(&event)?;
        }
        host.tick();
        tokio::time::sleep(args.pace.unwrap_or(CALM_PACE)).await;
    }
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<&'a Vec<Event>>,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// The terminal, or whatever stands in for it.
struct Screen {
    bar: ProgressBar,
    /// Whether events are shown.
    lines: bool,
    /// Whether anything but the report is said.
    talks: bool,
    width: Option<usize>,
    colour: bool,
    started: Instant,
}

const PLACED: Style = AnsiColor::Green.on_default();
const WAITS: Style = AnsiColor::Yellow.on_default();
const FINISHED: Style = AnsiColor::Cyan.on_default();
const HEADING: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();

/// What stands before the reason of a placement: sign, pod, request, node.
const LEAD: usize = 2 + 21 + 14 + 22;

impl Screen {
    fn new(args: &Args, pods: usize) -> Self {
        let table = Table::new();
        let terminal = std::io::stdout().is_terminal();
        let target = match args.output {
            Output::Table => ProgressDrawTarget::stderr(),
            Output::Json => ProgressDrawTarget::hidden(),
        };
        let bar = progress::bar(target, pods as u64, "pods");
        Self {
            bar,
            lines: args.output == Output::Table && !args.quiet,
            talks: args.output == Output::Table,
            width: if terminal { table.width().map(usize::from) } else { None },
            colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            started: Instant::now(),
        }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Writes above the progress bar.
    fn say(&self, text: &str) -> std::io::Result<()> {
        self.bar.suspend(|| writeln!(stdout(), "{text}"))
    }

    fn introduce(&self, plan: &Plan, address: SocketAddr, page: Option<SocketAddr>) -> std::io::Result<()> {
        if !self.lines {
            return Ok(());
        }
        let Plan { nodes, pods, gangs, seed, .. } = plan;
        let nodes = self.paint(HEADING, &nodes.to_string());
        self.say(&format!("{nodes} simulated nodes, {pods} pods and {gangs} gangs, seed {seed}."))?;
        if let Some(page) = page {
            self.say(&format!("The page is at {}.", self.paint(HEADING, &format!("http://{page}"))))?;
        }
        self.say(&format!("A driver plays kube-scheduler and calls the extender at http://{address}/v1.\n"))
    }

    fn event(&self, event: &Event) -> std::io::Result<()> {
        if !self.lines {
            return Ok(());
        }
        let (sign, style, node, text) = match &event.kind {
            EventKind::Placed { node, why, waited: false } => ("+", PLACED, node.as_str(), why.clone()),
            EventKind::Placed { node, why, waited: true } => ("+", PLACED, node.as_str(), format!("waited; {why}")),
            EventKind::Waits { message } => ("?", WAITS, "waits", message.clone()),
            EventKind::Finished { node } => ("-", FINISHED, node.as_str(), "finished, its place is free".to_owned()),
        };
        let who = format!("{sign} {:<20} {:<13} ", event.pod, event.asks);
        let lead = format!("{}{}", self.paint(style, &who), self.paint(HEADING, &format!("{node:<21} ")));
        let text = self.paint(FAINT, &self.cut(&text));
        let narrow = self.width.is_some_and(|width| width < LEAD + ROOM_FOR_REASON);
        let gap = if narrow { "\n    " } else { "" };
        self.say(format!("{lead}{gap}{text}").trim_end())
    }

    /// As much of the text as there is room for.
    fn cut(&self, text: &str) -> String {
        let Some(width) = self.width else { return text.to_owned() };
        let indent = if width < LEAD + ROOM_FOR_REASON { 4 } else { LEAD };
        let room = width.saturating_sub(indent + 1);
        if text.chars().count() <= room {
            return text.to_owned();
        }
        text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
    }

    fn summary(&self, summary: &Summary) -> std::io::Result<()> {
        let seconds = self.started.elapsed().as_secs_f64();
        self.chapter("What the fleet gives", &self.pools(&summary.pools))?;
        self.chapter("What the extender was asked", &self.calls(&summary.calls))?;
        if !summary.waiting.is_empty() {
            self.chapter("Who waits, and for what", &self.waiting(&summary.waiting))?;
        }
        let running = summary.placed - summary.finished;
        let waiting = summary.waiting.len();
        let counts =
            format!("{} pods placed ({running} run, {} finished), {waiting} wait", summary.placed, summary.finished);
        self.say(&format!("\n{}, in {seconds:.1} s.", self.paint(HEADING, &counts)))
    }

    fn chapter(&self, title: &str, table: &Table) -> std::io::Result<()> {
        let rows: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        self.say(&format!("\n{}\n{}", self.paint(HEADING, title), rows.join("\n")))
    }

    fn table(&self, header: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_style(TABLE).set_header(header).set_content_arrangement(ContentArrangement::Dynamic);
        if self.width.is_none() {
            table.set_width(WIDTH_OF_FILES);
        }
        table
    }

    fn pools(&self, pools: &[Pool]) -> Table {
        let narrow = self.width.is_some_and(|width| width < WIDTH_OF_POOLS);
        let columns = if narrow { 7 } else { 8 };
        let header = ["pool", "nodes", "resource", "which are", "capacity", "used", "free", ""];
        let mut table = self.table(&header[..columns]);
        let mut above = "";
        for pool in pools {
            let name = if pool.instance_type == above { "" } else { &pool.instance_type };
            above = &pool.instance_type;
            let cells = [
                Cell::new(name),
                number(pool.nodes),
                Cell::new(if narrow { short(&pool.resource) } else { &pool.resource }),
                Cell::new(&pool.unit),
                number(pool.capacity),
                number(pool.used),
                number(pool.free),
                Cell::new(gauge(pool.used, pool.capacity)),
            ];
            table.add_row(cells.into_iter().take(columns));
        }
        table
    }

    fn calls(&self, calls: &[Calls]) -> Table {
        let mut table = self.table(&["verb", "calls", "p50", "p99"]);
        let time = |microseconds: u128| number(format!("{:.2} ms", microseconds as f64 / 1000.0));
        for calls in calls {
            table.add_row(vec![Cell::new(calls.verb), number(calls.count), time(calls.p50_us), time(calls.p99_us)]);
        }
        table
    }

    fn waiting(&self, waiting: &[Waiting]) -> Table {
        let mut table = self.table(&["pods", "ask for", "because"]);
        let mut alike: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for pod in waiting {
            alike.entry((&pod.asks, &pod.message)).or_default().push(&pod.pod);
        }
        for ((asks, message), mut pods) in alike {
            pods.sort_unstable();
            table.add_row(vec![pods.join("\n").as_str(), asks, message]);
        }
        table
    }

    /// Says that it goes on, and where to look.
    fn invite(&self, address: SocketAddr, page: Option<SocketAddr>) -> std::io::Result<()> {
        let page = page.map_or_else(String::new, |page| format!("the page http://{page}, "));
        let text = format!(
            "\nIt goes on until Ctrl-C: {page}the extender http://{address}/v1, metrics http://{address}/metrics.\n"
        );
        if self.talks {
            self.say(&text)?;
        } else {
            eprintln!("{text}");
        }
        Ok(())
    }
}

/// Where there is less, the reason has a line of its own.
const ROOM_FOR_REASON: usize = 50;

/// Where there is less, the table of pools does without its gauge and the domains of its resources.
const WIDTH_OF_POOLS: usize = 136;

/// How wide tables are that nobody sees on a terminal.
const WIDTH_OF_FILES: u16 = 140;

const TABLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none());

fn number(number: impl ToString) -> Cell {
    Cell::new(number.to_string()).set_alignment(CellAlignment::Right)
}

/// How full something is, in ten steps and percent.
fn gauge(used: i64, capacity: i64) -> String {
    let percent = if capacity > 0 { used * 100 / capacity } else { 0 };
    let full = usize::try_from((percent + 5) / 10).unwrap_or(0).min(10);
    format!("{}{} {percent:>3}%", "█".repeat(full), "░".repeat(10 - full))
}
