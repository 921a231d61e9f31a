//! Who of several replicas acts: each follows the cluster, one of them answers and writes.
//!
//! A leader is one for a limited time, counted from before it last renewed its lease, by a clock that nobody can set and
//! that goes on while the process is stopped. Whoever writes asks first ([`Leadership::may_write`]), so that a leader that was
//! paused finds out before it does anything, not when it next speaks to the API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::{RwLock, RwLockReadGuard, watch};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::Host;
use super::leader_metrics::LeaderMetrics;
use crate::config::Mode;
use crate::extender::Refusal;

/// Who acts. Clones share what they know.
#[derive(Clone)]
pub struct Leadership(Arc<Shared>);

struct Shared {
    role: Mutex<Role>,
    /// Grows when the role changes, for those who act on that.
    changes: watch::Sender<()>,
    /// How often this replica has become the leader.
    terms: AtomicU64,
    /// Held for reading by whoever is in the middle of a binding, or of a write that a plan needs.
    acts: RwLock<()>,
}

/// What this replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// There are no others.
    Alone,
    /// Another leads, or nobody yet.
    Follower,
    /// It leads until then, unless that is renewed.
    Leader { epoch: u64, until: Instant },
    /// It is about to end: what has begun may still come to its end, until then if it is not alone.
    Leaving { until: Option<Instant> },
}

impl Default for Leadership {
    /// Of a replica that knows of no others.
    fn default() -> Self {
        let shared = Shared {
            role: Mutex::new(Role::Alone),
            changes: watch::Sender::new(()),
            terms: AtomicU64::new(0),
            acts: RwLock::new(()),
        };
        Self(Arc::new(shared))
    }
}

impl Leadership {
    /// Of one among several: it follows until it is told to lead.
    pub fn contested() -> Self {
        let leadership = Self::default();
        *leadership.0.role.lock() = Role::Follower;
        leadership
    }

    /// Shows it in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(LeaderMetrics::new(self.clone())));
    }

    /// May something be written, at this moment?
    pub fn may_write(&self) -> bool {
        match self.role() {
            Role::Alone | Role::Leaving { until: None } => true,
            Role::Follower => false,
            Role::Leader { until, .. } | Role::Leaving { until: Some(until) } => Instant::now() < until,
        }
    }

    /// Is this replica to decide, at this moment? Not when it is about to end, although what has begun goes on.
    pub fn leads(&self) -> bool {
        self.may_write() && !self.is_leaving()
    }

    /// How often this replica has become the leader.
    pub fn terms(&self) -> u64 {
        self.0.terms.load(Ordering::Relaxed)
    }

    /// Tells when the role changes, and when a lease is renewed after its time: whoever looked in between has seen no leader.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Is this replica about to end?
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.role(), Role::Leaving { .. })
    }

    /// For as long as something is being written that is to come to its end before another leads.
    pub(super) async fn act(&self) -> RwLockReadGuard<'_, ()> {
        self.0.acts.read().await
    }

    fn role(&self) -> Role {
        *self.0.role.lock()
    }

    /// Sets the role that follows from the present one; says what it was if that is another.
    fn change(&self, next: impl FnOnce(Role) -> Role) -> Option<Role> {
        let mut role = self.0.role.lock();
        let before = *role;
        *role = next(before);
        let is_new = std::mem::discriminant(&before) != std::mem::discriminant(&*role);
        drop(role);
        let was_over = matches!(before, Role::Leader { until, .. } if until <= Instant::now());
        if is_new || was_over {
            self.0.changes.send_replace(());
        }
        is_new.then_some(before)
    }
}

impl Host {
    /// The same host as one of several replicas: it follows until it is told to lead.
    pub fn with_leadership(mut self, leadership: Leadership) -> Self {
        if !leadership.leads() {
            self.engine.lock().stand_by();
        }
        self.leadership = leadership;
        self
    }

    /// Fails if requests cannot be answered yet, or by this replica.
    pub(super) fn may_answer(&self) -> Result<(), Refusal> {
        self.is_synced().map_err(Refusal::Unavailable)?;
        if self.leadership.leads() {
            return Ok(());
        }
        let why = if self.leadership.is_leaving() { "this replica is stopping" } else { "this replica does not lead" };
        Err(Refusal::Unavailable(format!("testudo: {why}")))
    }

    /// Leads until then: a new term, unless this is the epoch of the present one. What the last leader has promised is taken
    /// up before anything is answered.
    pub fn lead(&self, epoch: u64, until: Instant) {
        // The role changes under the engine's lock: changes that are taken in meanwhile see either role with its state.
        let mut engine = self.engine.lock();
        if !matches!(self.leadership.role(), Role::Leader { epoch: known, .. } if known == epoch) {
            if self.mode == Mode::Enforce {
                engine.lead(epoch);
                engine.keep_gangs(self.now_ms());
                self.publish(&mut engine);
            }
            self.leadership.0.terms.fetch_add(1, Ordering::Relaxed);
            info!(epoch, "leading");
        }
        self.leadership.change(|role| match role {
            Role::Leaving { .. } => Role::Leaving { until: Some(until) },
            Role::Alone | Role::Follower | Role::Leader { .. } => Role::Leader { epoch, until },
        });
        drop(engine);
        self.gang_work.notify_one();
    }

    /// Another leads: from now on this replica only follows. Whoever waits at the barrier is sent away.
    pub fn follow(&self, leader: &str) {
        let mut engine = self.engine.lock();
        let before = self.leadership.change(|role| match role {
            Role::Leaving { .. } => Role::Leaving { until: Some(Instant::now()) },
            Role::Alone | Role::Follower | Role::Leader { .. } => Role::Follower,
        });
        if before.is_some() {
            engine.stand_by();
            self.publish(&mut engine);
            info!(leader, "following");
        }
    }

    /// Prepares for the end: nothing new is begun, and what has begun comes to its end, within `grace`.
    pub async fn leave(&self, grace: Duration) {
        self.leadership.change(|role| match role {
            Role::Alone => Role::Leaving { until: None },
            Role::Follower => Role::Leaving { until: Some(Instant::now()) },
            Role::Leader { until, .. } => Role::Leaving { until: Some(until) },
            Role::Leaving { until } => Role::Leaving { until },
        });
        self.barrier_news.notify_waiters();
        if timeout(grace, self.leadership.0.acts.write()).await.is_err() {
            warn!(?grace, "bindings have not come to their end in time");
        }
        // Others may lead from now on.
        self.leadership.change(|_| Role::Leaving { until: Some(Instant::now()) });
    }
}

#[cfg(test)]
#[path = "leadership_tests.rs"]
mod tests;
