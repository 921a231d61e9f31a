//! A Prometheus that scrapes what the tests start.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};

use crate::components::flags;
use crate::endpoint::Endpoint;
use crate::ports::free_port;
use crate::process::Process;
use crate::tools;
use crate::wait::PATIENCE;
use crate::workdir::Workdir;

/// What is scraped, and which rules are evaluated.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// `job`, as alerts name it.
    pub job: String,
    /// Host and port of each target.
    pub targets: Vec<String>,
    /// Files with rules.
    pub rules: Vec<PathBuf>,
}

/// A running Prometheus; it ends when this is dropped.
pub struct Prometheus {
    api: Endpoint,
    _process: Process,
}

impl Prometheus {
    /// Starts one in a folder and waits until it answers. It scrapes every second.
    pub async fn start(dir: &Workdir, scrape: &Scrape) -> Result<Self> {
        let configuration = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": scrape.rules,
            "scrape_configs": [{"job_name": scrape.job, "static_configs": [{"targets": scrape.targets}]}],
        });
        let file = dir.write("prometheus.yaml", configuration.to_string())?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let args = flags([
            ("config.file", file.display().to_string()),
            ("storage.tsdb.path", dir.file("prometheus").display().to_string()),
            ("web.listen-address", address.clone()),
        ]);
        let log = dir.file("prometheus.log");
        let mut process = Process::spawn("prometheus", &tools::prometheus()?, &args, &[], &log)?;
        let api = Endpoint::new(&format!("http://{address}"), None, None)?;
        api.until_ok("/-/ready", &mut process, PATIENCE).await?;
        Ok(Self { api, _process: process })
    }

    /// The targets that it scrapes, with what was wrong with the last scrape.
    pub async fn targets(&self) -> Result<Value> {
        Ok(self.ask("/api/v1/targets?state=active").await?["activeTargets"].take())
    }

    /// The groups of rules, with what was wrong with the last evaluation.
    pub async fn rules(&self) -> Result<Value> {
        Ok(self.ask("/api/v1/rules").await?["groups"].take())
    }

    /// What a query finds now, one entry for each series.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(query))).await?;
        Ok(answer["result"].as_array().cloned().unwrap_or_default())
    }

    /// The types of all metrics that were ever scraped, by name.
    pub async fn metadata(&self) -> Result<Value> {
        self.ask("/api/v1/metadata").await
    }

    async fn ask(&self, path: &str) -> Result<Value> {
        let reply = self.api.get(path).await?;
        ensure!(reply.status == StatusCode::OK, "prometheus: {path}: {}: {}", reply.status, reply.body);
        let mut answer: Value = serde_json::from_str(&reply.body).with_context(|| format!("{path}: no JSON"))?;
        Ok(answer["data"].take())
    }
}

/// As it may stand in a URL.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
