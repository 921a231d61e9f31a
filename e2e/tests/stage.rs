//! Runs scenarios in parallel on one control plane, started by the first that needs it and ended after the last.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use testudo_e2e::{ControlPlane, Version};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// No scenario may take longer; every wait inside has a shorter limit and a better message.
const LIMIT: Duration = Duration::from_secs(300);

/// Where scenarios are played.
#[derive(Clone)]
pub struct Stage {
    runtime: Arc<Runtime>,
    control_plane: Arc<OnceCell<Result<Arc<ControlPlane>, String>>>,
}

impl Stage {
    /// A scenario as a test.
    pub fn scenario<F>(&self, name: &str, play: impl FnOnce(Arc<ControlPlane>) -> F + Send + 'static) -> Trial
    where
        F: Future<Output = Result<()>>,
    {
        let stage = self.clone();
        Trial::test(name, move || {
            let outcome = stage.runtime.block_on(async {
                let control_plane = stage.control_plane().await?;
                tokio::time::timeout(LIMIT, play(control_plane))
                    .await
                    .with_context(|| format!("the scenario took longer than {LIMIT:?}"))?
            });
            outcome.map_err(|error| Failed::from(format!("{error:?}")))
        })
    }

    async fn control_plane(&self) -> Result<Arc<ControlPlane>> {
        let started = self.control_plane.get_or_init(async || {
            let start = async { ControlPlane::start(Version::from_env()?).await };
            // The error is kept as text: it is told to every scenario, and the start is not tried once more for each.
            start.await.map(Arc::new).map_err(|error| format!("{error:?}"))
        });
        started.await.clone().map_err(|error| anyhow!(error))
    }
}

/// Plays what `scenarios` lists and what the command line selects from it.
pub fn run(scenarios: impl FnOnce(&Stage) -> Vec<Trial>) -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = match Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("cannot start a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let stage = Stage { runtime, control_plane: Arc::default() };
    let conclusion = libtest_mimic::run(&arguments, scenarios(&stage));
    if conclusion.has_failed()
        && let Some(Ok(control_plane)) = stage.control_plane.get()
    {
        control_plane.keep_files();
    }
    // Not left to the statics or to the guard: here the folder is removed too, or its path printed.
    drop(stage);
    conclusion.exit_code()
}
