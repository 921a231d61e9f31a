//! Child processes that do not outlive the test process.
//!
//! A child gets a process group of its own and dies with its [`Process`]. That does not help when the test process is
//! killed, and statics are never dropped, so there is a guard too: a shell that reads the ids of the groups from a pipe.
//! The kernel closes the pipe when the test process ends, whatever ended it, and the guard kills what is left. (The
//! parent-death signal would not do: it fires when the *thread* that started the child ends.)

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

const GUARD_SCRIPT: &str = r#"
groups=' '
while read -r verb group; do
    case $verb in
    watch) groups="$groups$group " ;;
    forget) groups="${groups%%" $group "*} ${groups#*" $group "}" ;;
    esac
done
for group in $groups; do
    kill -s KILL -- "-$group" 2>/dev/null
done
"#;

/// The writing end of the guard's pipe; the guard itself is nobody's to wait for, it ends after us.
static GUARD: LazyLock<io::Result<Mutex<ChildStdin>>> = LazyLock::new(|| {
    let mut guard = Command::new("/bin/sh")
        .args(["-c", GUARD_SCRIPT, "testudo-e2e-guard"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Its own group, so that Ctrl-C reaches us and not the one that has to clean up behind us.
        .process_group(0)
        .spawn()?;
    guard.stdin.take().map(Mutex::new).ok_or_else(|| io::Error::other("the guard has no standard input"))
});

fn tell_guard(verb: &str, group: u32) -> Result<()> {
    let pipe = GUARD.as_ref().map_err(|error| anyhow!("cannot start /bin/sh as the guard of children: {error}"))?;
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(pipe, "{verb} {group}").context("the guard that ends children after a crash is gone")
}

/// A running child with its log file.
#[derive(Debug)]
pub struct Process {
    name: String,
    binary: PathBuf,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Child,
    exit: Option<ExitStatus>,
}

impl Process {
    /// Starts `binary` with `args` and these variables beside our own, standard output and error appended to `log`.
    pub fn spawn(
        name: &str,
        binary: &Path,
        args: &[String],
        environment: &[(String, String)],
        log: &Path,
    ) -> Result<Self> {
        // The guard first: without it nothing may be started.
        LazyLock::force(&GUARD);
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open the log {}", log.display()))?;
        let errors = output.try_clone().context("cannot share a log file")?;
        let child = Command::new(binary)
            .args(args)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} from {}", binary.display()))?;
        let (name, binary, log) = (name.to_owned(), binary.to_owned(), log.to_owned());
        let (args, environment) = (args.to_vec(), environment.to_vec());
        let process = Self { name, binary, args, environment, log, child, exit: None };
        tell_guard("watch", process.child.id())?;
        Ok(process)
    }

    /// Starts the same once more; this one must have ended. The log goes on in the same file.
    pub fn again(mut self) -> Result<Self> {
        self.kill()?;
        Self::spawn(&self.name, &self.binary, &self.args, &self.environment, &self.log)
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// An error with the end of the log if the process is no longer there.
    pub fn check_running(&mut self) -> Result<()> {
        match self.poll_exit()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status}). The end of {}", self.name, self.log_tail()),
        }
    }

    /// Sends SIGTERM and waits until the process has ended; kills it and fails if that takes longer than `patience`.
    pub async fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        self.signal(Signal::TERM)?;
        loop {
            if let Some(status) = self.poll_exit()? {
                return Ok(status);
            }
            if start.elapsed() > patience {
                self.kill()?;
                bail!("{} still ran {patience:?} after SIGTERM. The end of {}", self.name, self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills the process and what it started, as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        if self.poll_exit()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        // Forgotten before it is waited for: until then the kernel gives its id to nobody else.
        tell_guard("forget", self.child.id())?;
        let status = self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        self.exit = Some(status);
        Ok(())
    }

    /// Stops (`SIGSTOP`) or continues (`SIGCONT`) the process, to see what others do while it does not answer.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        self.signal(if frozen { Signal::STOP } else { Signal::CONT })
    }

    /// The path and the last lines of the log, for error messages.
    pub fn log_tail(&self) -> String {
        const LINES: usize = 25;
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
        format!("{}:\n  {tail}", self.log.display())
    }

    fn poll_exit(&mut self) -> Result<Option<ExitStatus>> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().with_context(|| format!("cannot ask for the state of {}", self.name))?;
            if self.exit.is_some() {
                tell_guard("forget", self.child.id())?;
            }
        }
        Ok(self.exit)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(status) = self.exit {
            let how = status.signal().map_or_else(|| status.to_string(), |number| format!("signal {number}"));
            bail!("{} has ended already ({how})", self.name);
        }
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("not a process id")?;
        kill_process_group(group, signal).with_context(|| format!("cannot send {signal:?} to {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("testudo-e2e: {error:#}");
        }
    }
}
