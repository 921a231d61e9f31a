//! The page in a real browser, on the demo's fleet. Screenshots are left in `target/tmp/page`.

mod claims;
mod large;
mod story;
mod timeline;

use std::path::PathBuf;

use anyhow::{Context, Result};
use testudo_e2e::browser::Browser;
use testudo_e2e::ports::free_port;
use testudo_e2e::process::Process;
use testudo_e2e::testudo::binary;
use testudo_e2e::workdir::Workdir;

/// A demo that goes on until this is dropped.
struct Demo {
    process: Option<Process>,
    port: u16,
    folder: Workdir,
}

impl Demo {
    fn start(flags: &str) -> Result<Self> {
        let (folder, port) = (Workdir::new()?, free_port()?);
        let mut demo = Self { process: None, port, folder };
        demo.run(flags)?;
        Ok(demo)
    }

    /// A server on a file instead of a demo.
    fn on(file: &str, content: &str, config: &str) -> Result<Self> {
        let (folder, port) = (Workdir::new()?, free_port()?);
        let (file, config) = (folder.write(file, content)?, folder.write("config.yaml", config)?);
        let mut served = Self { process: None, port, folder };
        let flags = ["serve", "--bind-address=127.0.0.1:0", "-f", path(&file)?, "--config", path(&config)?];
        served.spawn(flags)?;
        Ok(served)
    }

    fn run(&mut self, flags: &str) -> Result<()> {
        self.spawn(["demo", "--serve", "--quiet"].into_iter().chain(flags.split_whitespace()))
    }

    fn spawn<'a>(&mut self, args: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let page = format!("--web-bind-address=127.0.0.1:{}", self.port);
        let args: Vec<String> = args.into_iter().map(str::to_owned).chain([page]).collect();
        self.process = Some(Process::spawn("testudo demo", &binary()?, &args, &[], &self.folder.file("demo.log"))?);
        Ok(())
    }

    /// Kills it, as `kill -9` does.
    fn kill(&mut self) -> Result<()> {
        self.process.take().context("it runs")?.kill()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The page in a browser, as soon as the server answers.
    async fn open(&self, theme: &str) -> Result<Browser> {
        let browser = Browser::start(1440, 900).await?;
        browser.prefer(&[("prefers-color-scheme", theme), ("prefers-reduced-motion", "reduce")]).await?;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], self.port));
        testudo_e2e::wait::until("the page's server", testudo_e2e::wait::PATIENCE, async || {
            Ok(match tokio::net::TcpStream::connect(address).await {
                Ok(_) => testudo_e2e::wait::Look::Done(()),
                Err(error) => testudo_e2e::wait::Look::NotYet(error.to_string()),
            })
        })
        .await?;
        browser.go(&self.url()).await?;
        browser.until("the map", PAINTED).await?;
        Ok(browser)
    }
}

fn path(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("a path that is text")
}

/// When the map was painted first, in milliseconds after the page began to load.
const PAINTED: &str = "performance.getEntriesByName('fleet-painted')[0]?.startTime ?? 0";

/// Where a screenshot goes.
fn shot(name: &str) -> Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join(format!("{name}.png")))
}
