//! `testudo serve` as a process of its own, for what only the whole program shows.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the server when a test fails.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the extender on a copy of a cluster, on any port, with these sections in its configuration; what it logs comes line
/// by line, until it ends.
pub fn start(folder: &Path, cluster: &str, sections: Value) -> (Server, Receiver<Value>) {
    fs::create_dir_all(folder).unwrap();
    let mut config = json!({
        "apiVersion": "config.testudo.dev/v1alpha1",
        "kind": "TestudoConfiguration",
        "extender": {"bindAddress": "127.0.0.1:0"},
        "web": {"enabled": false},
    });
    let Value::Object(sections) = sections else { panic!("sections are an object: {sections}") };
    config.as_object_mut().unwrap().extend(sections);
    let (copy, configuration) = (folder.join("cluster.yaml"), folder.join("testudo.yaml"));
    fs::write(&copy, cluster).unwrap();
    fs::write(&configuration, config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_testudo"));
    command.args(["serve", "--logging-format=json"]).arg("--config").arg(configuration).arg("--filename").arg(copy);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let errors = child.stderr.take().unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(errors).lines() {
            let line = line.unwrap();
            let _ = sender.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
        }
    });
    (Server(child), receiver)
}

/// Where it serves, once it does.
pub fn address(log: &Receiver<Value>) -> String {
    let serving = until("the extender to serve", log, |line| line["message"] == "serving the extender protocol");
    serving["address"].as_str().unwrap().to_owned()
}

/// The first that is wanted; all that come before it are dropped.
pub fn until<T>(what: &str, incoming: &Receiver<T>, wanted: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let next = incoming.recv_timeout(left).unwrap_or_else(|error| panic!("{what}: {error}"));
        if wanted(&next) {
            return next;
        }
    }
}
