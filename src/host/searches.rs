//! Where that is done which takes longer than a moment: not under the engine's lock, and not where requests are answered.

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

/// Something that takes longer than a moment.
pub type Search = Box<dyn FnOnce() + Send>;

/// Where it is done.
#[derive(Debug, Clone)]
pub enum Searches {
    /// On threads beside the others.
    OnThreads,
    /// By whoever receives it, when he likes: a simulation decides what happens before it ends.
    Elsewhere(mpsc::UnboundedSender<Search>),
}

/// It ended in a panic, or was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it ended in a panic")]
pub struct Lost;

impl Searches {
    /// Has it done, and waits for what comes of it.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost> {
        match self {
            Self::OnThreads => spawn_blocking(work).await.map_err(|_| Lost),
            Self::Elsewhere(queue) => {
                let (answer, answered) = oneshot::channel();
                // Whoever asked may have gone meanwhile.
                queue.send(Box::new(move || _ = answer.send(work()))).map_err(|_| Lost)?;
                answered.await.map_err(|_| Lost)
            }
        }
    }
}
