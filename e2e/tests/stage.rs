//! Runs scenarios side by side on one control plane, started by the first that needs it and ended after the last.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use testudo_e2e::{ControlPlane, Version};
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, RwLock};

use crate::deployed::Deployed;

/// How long a scenario may take; every wait inside has a shorter limit and a better message.
const LIMIT: Duration = Duration::from_secs(300);

/// How many scenarios run at a time unless `--test-threads` says otherwise. More than there are cores: they mostly wait.
const THREADS: usize = 8;

/// Where scenarios are played.
#[derive(Clone)]
pub struct Stage {
    runtime: Arc<Runtime>,
    deployed: Arc<OnceCell<Result<Arc<Deployed>, String>>>,
    // After `deployed`: dropped after it.
    control_plane: Arc<OnceCell<Result<Arc<ControlPlane>, String>>>,
    /// Read by scenarios that bear company, written by those that do not.
    company: Arc<RwLock<()>>,
    times: Times,
    /// The scenarios that failed, and why.
    failures: Arc<Mutex<Vec<String>>>,
    /// No scenario may take longer.
    limit: Duration,
}

/// How long each scenario has taken, without its turn to wait for.
type Times = Arc<Mutex<Vec<(Duration, String)>>>;

struct Clock {
    name: String,
    begin: Instant,
    times: Times,
}

impl Drop for Clock {
    fn drop(&mut self) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.push((self.begin.elapsed(), std::mem::take(&mut self.name)));
    }
}

impl Stage {
    /// A scenario as a test; others run beside it, so it keeps to its own namespace and nodes.
    pub fn scenario<F>(&self, name: &str, play: impl FnOnce(Arc<ControlPlane>) -> F + Send + 'static) -> Trial
    where
        F: Future<Output = Result<()>>,
    {
        let (stage, title) = (self.clone(), name.to_owned());
        Trial::test(name, move || {
            stage.runtime.block_on(async {
                let _beside_others = stage.company.read().await;
                stage.play(&title, play).await
            })
        })
    }

    /// A scenario that disturbs the whole cluster, as a restart of the API server does: nothing runs beside it.
    pub fn scenario_alone<F>(&self, name: &str, play: impl FnOnce(Arc<ControlPlane>) -> F + Send + 'static) -> Trial
    where
        F: Future<Output = Result<()>>,
    {
        let (stage, title) = (self.clone(), name.to_owned());
        Trial::test(name, move || {
            stage.runtime.block_on(async {
                let _alone = stage.company.write().await;
                stage.play(&title, play).await
            })
        })
    }

    /// A scenario with what `deploy/` ships.
    pub fn deployed<F>(&self, name: &str, play: impl FnOnce(Arc<Deployed>) -> F + Send + 'static) -> Trial
    where
        F: Future<Output = Result<()>>,
    {
        let stage = self.clone();
        self.scenario(name, async move |_| play(stage.deployment().await?).await)
    }

    /// The same, and nothing runs beside it.
    pub fn deployed_alone<F>(&self, name: &str, play: impl FnOnce(Arc<Deployed>) -> F + Send + 'static) -> Trial
    where
        F: Future<Output = Result<()>>,
    {
        let stage = self.clone();
        self.scenario_alone(name, async move |_| play(stage.deployment().await?).await)
    }

    /// One that is played only when it is asked for, alone, and may take so much longer than others.
    pub fn long<F>(&self, name: &str, time: Duration, play: impl FnOnce(Arc<Deployed>) -> F + Send + 'static) -> Trial
    where
        F: Future<Output = Result<()>>,
    {
        let stage = Self { limit: LIMIT + time, ..self.clone() };
        stage.deployed_alone(name, play).with_ignored_flag(true)
    }

    async fn play<F>(&self, name: &str, play: impl FnOnce(Arc<ControlPlane>) -> F) -> Result<(), Failed>
    where
        F: Future<Output = Result<()>>,
    {
        let outcome = async {
            let control_plane = self.control_plane().await?;
            let _clock = self.clock(name);
            tokio::time::timeout(self.limit, play(control_plane))
                .await
                .with_context(|| format!("the scenario took longer than {:?}", self.limit))?
        };
        outcome.await.map_err(|error| {
            let error = tell(&error);
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name}: {error}"));
            Failed::from(error)
        })
    }

    /// Measures a scenario until it is dropped.
    fn clock(&self, name: &str) -> Clock {
        Clock { name: name.to_owned(), begin: Instant::now(), times: Arc::clone(&self.times) }
    }

    fn tell_times(&self) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.sort();
        for (time, name) in times.iter().rev() {
            eprintln!("{:6.1} s  {name}", time.as_secs_f64());
        }
    }

    /// Once more, where whoever sees but the end of the output finds them.
    fn tell_failures(&self) {
        for failure in self.failures.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            eprintln!("FAILED {failure}");
        }
    }

    async fn deployment(&self) -> Result<Arc<Deployed>> {
        let control_plane = self.control_plane().await?;
        let deployed = self
            .deployed
            .get_or_init(async || Deployed::apply(control_plane).await.map(Arc::new).map_err(|error| tell(&error)));
        deployed.await.clone().map_err(|error| anyhow!(error))
    }

    async fn control_plane(&self) -> Result<Arc<ControlPlane>> {
        let started = self.control_plane.get_or_init(async || {
            let start = async { ControlPlane::start(Version::from_env()?).await };
            // The error is kept as text: it is told to every scenario, and the start is not tried once more for each.
            start.await.map(Arc::new).map_err(|error| tell(&error))
        });
        started.await.clone().map_err(|error| anyhow!(error))
    }
}

/// The error and its causes, a line each; a backtrace through the runtime would only hide them.
fn tell(error: &Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  because: ")
}

/// Plays what `scenarios` lists and what the command line selects from it.
pub fn run(scenarios: impl FnOnce(&Stage) -> Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let runtime = match Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("cannot start a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let stage = Stage {
        runtime,
        deployed: Arc::default(),
        control_plane: Arc::default(),
        company: Arc::default(),
        times: Times::default(),
        failures: Arc::default(),
        limit: LIMIT,
    };
    let conclusion = libtest_mimic::run(&arguments, scenarios(&stage));
    if conclusion.has_failed()
        && let Some(Ok(control_plane)) = stage.control_plane.get()
    {
        control_plane.keep_files();
    }
    stage.tell_times();
    stage.tell_failures();
    // Not left to the statics or to the guard: here the folder is removed too, or its path printed.
    drop(stage);
    conclusion.exit_code()
}
