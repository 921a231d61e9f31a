//! Keeping up with the cluster.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::interval;

use super::Host;
use crate::k8s::watch::ClusterEvent;

/// Events taken in at once, at most; as many may wait.
pub const BATCH: usize = 4096;

/// How often time passes for the engine.
const TICK: Duration = Duration::from_secs(1);

impl Host {
    /// Takes in what happens, and lets time pass; ends never. Without a cluster nothing happens, but time passes.
    pub async fn keep_up(&self, mut incoming: mpsc::Receiver<ClusterEvent>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut ticks = interval(TICK);
        let mut is_open = true;
        loop {
            tokio::select! {
                // Rare, so events do not wait for it; the other way round it might wait for ever.
                biased;
                _ = ticks.tick() => self.tick(),
                received = incoming.recv_many(&mut batch, BATCH), if is_open => {
                    is_open = received > 0;
                    self.take(batch.drain(..));
                }
            }
        }
    }
}
