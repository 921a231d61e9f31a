//! A cluster that is followed live: first of all it is asked whether it answers, and all that exists is listed.

use std::time::Duration;
use std::vec::Drain;

use anyhow::Context;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::k8s::watch::{ClusterEvent, watch_cluster};

/// Events taken in at once, at most; as many may wait.
const BATCH: usize = 4096;

/// How long a cluster may take to list everything.
pub const LIST_TIMEOUT: Duration = Duration::from_secs(300);

/// What is said where it does not let us.
pub const CANNOT_LIST: &str = "the cluster cannot be listed: may this user list nodes and pods in all namespaces?";

/// What happens in a cluster, a batch at a time.
pub struct Following {
    events: mpsc::Receiver<ClusterEvent>,
    batch: Vec<ClusterEvent>,
}

impl Following {
    /// Begins to watch. A watch tries again for ever, which nobody should wait for: what will not be answered is found out
    /// before.
    ///
    /// # Errors
    /// When the API server does not answer, or does not let us list nodes and pods.
    pub async fn begin(client: Client) -> anyhow::Result<Self> {
        client.apiserver_version().await.context("the API server does not answer")?;
        let one = ListParams::default().limit(1);
        Api::<Node>::all(client.clone()).list_metadata(&one).await.context(CANNOT_LIST)?;
        Api::<Pod>::all(client.clone()).list_metadata(&one).await.context(CANNOT_LIST)?;
        let (sender, events) = mpsc::channel(BATCH);
        // Devices too: clusters that have none of these are gone on with without.
        tokio::spawn(watch_cluster(client, sender, true));
        Ok(Self { events, batch: Vec::with_capacity(BATCH) })
    }

    /// Takes in what there is until it `is_whole`.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_listed(
        &mut self,
        mut is_whole: impl FnMut(Drain<'_, ClusterEvent>) -> bool,
    ) -> anyhow::Result<()> {
        let listing = async {
            while let Some(batch) = self.next().await {
                if is_whole(batch) {
                    break;
                }
            }
        };
        timeout(LIST_TIMEOUT, listing).await.context("the cluster has not listed its nodes and pods in 5 minutes")
    }

    /// What has happened since, as soon as anything has.
    pub async fn next(&mut self) -> Option<Drain<'_, ClusterEvent>> {
        let received = self.events.recv_many(&mut self.batch, BATCH).await;
        (received > 0).then(|| self.batch.drain(..))
    }
}
