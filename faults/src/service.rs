//! How kube-scheduler reaches testudo: the Service leads to the pod with the leader's label.

use serde_json::Value;
use testudo::extender::answer::Answer;

use crate::api::store::{Key, Kind, Store};
use crate::replica::{BindCall, NAMESPACE, REPLICAS, Replica};

/// kube-scheduler waits so long for an answer.
pub const TIMEOUT_MS: u64 = 30_000;

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// It is an error.
    Error(String),
    /// The replica does not run, and its connections are open: an answer may still come.
    Hangs(usize),
}

/// The way there.
pub struct Service<'w> {
    replicas: &'w mut [Replica],
    /// The replica with the leader's label.
    leader: Option<usize>,
}

/// The replica whose pod has the leader's label.
pub fn labelled(store: &Store) -> Option<usize> {
    let is_labelled = |index: &usize| {
        let key = Key::new(NAMESPACE, &Replica::name(*index));
        store.get(Kind::Pod, &key).is_some_and(|pod| pod["metadata"]["labels"]["testudo.dev/leader"] == "true")
    };
    (0..REPLICAS).find(is_labelled)
}

impl<'w> Service<'w> {
    /// To these replicas, of which this one has the leader's label.
    pub fn new(replicas: &'w mut [Replica], leader: Option<usize>) -> Self {
        Self { replicas, leader }
    }

    /// The replica that calls arrive at.
    fn endpoint(&self) -> Result<usize, NoAnswer> {
        let alive = self.leader.filter(|index| self.replicas.get(*index).is_some_and(Replica::is_alive));
        alive.ok_or_else(|| NoAnswer::Error("Post \"http://testudo\": connect: connection refused".to_owned()))
    }

    /// Would a call to this replica get no answer?
    pub fn hangs(&self, index: usize, now_ms: u64) -> bool {
        self.replicas.get(index).is_some_and(|replica| replica.is_alive() && !replica.answers(now_ms))
    }

    /// Asks by this verb.
    ///
    /// # Errors
    /// When there is no answer, or none that says anything.
    pub fn ask(&self, verb: &str, body: &Value, now_ms: u64) -> Result<Value, NoAnswer> {
        let index = self.endpoint()?;
        let replica = &self.replicas[index];
        if !replica.answers(now_ms) {
            return Err(NoAnswer::Hangs(index));
        }
        let body = body.to_string().into_bytes();
        let Answer { status, body, .. } = replica
            .ask(|answers| match verb {
                "filter" => answers.filter(&body),
                "prioritize" => answers.prioritize(&body),
                _ => answers.preempt(&body),
            })
            .unwrap_or_else(|| Answer::text(502, "gone"));
        if status != 200 {
            let text = format!("failed {verb} with extender at URL http://testudo, code {status}");
            return Err(NoAnswer::Error(text));
        }
        serde_json::from_slice(&body).map_err(|error| NoAnswer::Error(error.to_string()))
    }

    /// Asks to bind a pod.
    ///
    /// # Errors
    /// When nobody can be asked.
    pub fn bind(&mut self, body: &Value) -> Result<BindCall, NoAnswer> {
        let index = self.endpoint()?;
        let call = self.replicas[index].bind(body.to_string().as_bytes());
        let gone = || NoAnswer::Error("Post \"http://testudo/bind\": EOF".to_owned());
        call.ok_or_else(gone)?.map_err(|answer| NoAnswer::Error(String::from_utf8_lossy(&answer.body).into()))
    }
}
