//! Logs, and traces where somebody collects them.

#[cfg(feature = "otlp")]
mod otlp;

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::TracingSection;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Where logs go, and how much of them.
#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// How log lines are written.
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub logging_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, also by module (`info,testudo::host=debug`).
    #[arg(long, default_value = "info", value_name = "FILTER")]
    pub log_level: String,
}

/// What goes on being told. End it last: what is not sent yet is sent then.
#[must_use]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    traces: Option<otlp::Traces>,
}

/// What libraries log and nobody asked for: how the server starts, in its own words, and a line for each thing that a client does
/// wrong, with which anybody who reaches the port could fill the disk. `--log-level` has the last word.
const UNASKED: &str = "actix_server=warn,actix_http=off";

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging to standard error, and nothing else.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(args: &LogArgs) -> anyhow::Result<()> {
    tracing_subscriber::registry().with(logs(args)?).init();
    Ok(())
}

/// Starts logging to standard error, and sends traces where the configuration says so.
///
/// # Errors
/// When the filter cannot be read, or traces cannot be sent there.
///
/// # Panics
/// Outside of a tokio runtime, where there is somebody to send traces to.
pub fn start_with_traces(args: &LogArgs, section: &TracingSection) -> anyhow::Result<Telemetry> {
    let logs = logs(args)?;
    #[cfg(feature = "otlp")]
    {
        let (layer, traces) =
            section.endpoint.as_deref().map(|endpoint| otlp::start(endpoint, section)).transpose()?.unzip();
        tracing_subscriber::registry().with([Some(logs), layer].into_iter().flatten().collect::<Vec<_>>()).init();
        Ok(Telemetry { traces })
    }
    #[cfg(not(feature = "otlp"))]
    {
        anyhow::ensure!(
            section.endpoint.is_none(),
            "tracing.endpoint: this testudo was built without the feature otlp"
        );
        tracing_subscriber::registry().with(logs).init();
        Ok(Telemetry {})
    }
}

impl Telemetry {
    /// Sends what is left. Waits for that: not on a thread of the runtime.
    pub fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(traces) = self.traces {
            traces.end();
        }
    }
}

/// Spans are for traces only; what a line is about stands in its own fields.
fn logs(args: &LogArgs) -> anyhow::Result<BoxedLayer> {
    let filter = EnvFilter::try_new(format!("{UNASKED},{}", args.log_level))
        .map_err(|error| anyhow::anyhow!("--log-level {:?}: {error}; try info or debug", args.log_level))?;
    let filter = filter.and(filter_fn(|metadata| metadata.is_event()));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = layer.with_ansi(std::io::stderr().is_terminal());
    Ok(match args.logging_format {
        LogFormat::Text => layer.with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
            layer.with_filter(filter).boxed()
        }
    })
}
