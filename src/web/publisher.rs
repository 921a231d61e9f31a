//! What the page shows, computed once for all who look.
//!
//! Twice a second it is looked what has changed. That becomes one event; listeners get it as it is. Who begins to look asks
//! for everything at once and then for the events after that; who was cut off asks for what it missed, and gets it while
//! that is remembered. After a restart there is another epoch, and everyone asks for everything again.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::web::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::time::MissedTickBehavior;

use super::stream::Event;
use super::view::cells::NodeCells;
use super::view::claims::{Claims, claims};
use super::view::decisions::DecisionLine;
use super::view::face::{Kind, Stand};
use super::view::fleet::FleetView;
use super::view::gangs::{Gangs, gangs};
use super::view::history::{History, Sample};
use super::view::sets::{Room, room};
use super::view::totals::{Permille, Totals, totals};
use super::view::workloads::Workload;
use crate::host::Host;
use crate::host::decisions::MAX_DECISIONS;
use crate::overview::Prices;

/// How often it is looked what has changed.
const PERIOD: Duration = Duration::from_millis(500);

/// Gangs, waiting pods and the time line are looked at every so many periods.
const SLOW: u64 = 2;

/// Every so many periods listeners hear that the connection is alive, if they heard nothing else.
const HEARTBEAT: u64 = 20;

/// Events that are remembered for those who were cut off.
const MAX_EVENTS: usize = 240;

/// How much memory these may take.
const MAX_EVENT_BYTES: usize = 8 << 20;

/// A listener that is behind by more events than this is cut off. It asks for what it missed, or for everything.
const MAX_BEHIND: usize = 64;

/// Listeners at a time.
pub const MAX_LISTENERS: usize = 128;

/// Computes what the page shows.
pub struct Publisher {
    host: Arc<Host>,
    /// What the page calls the cluster.
    title: String,
    prices: Option<Prices>,
    state: Mutex<State>,
    events: broadcast::Sender<Arc<Event>>,
    listeners: AtomicUsize,
}

struct State {
    /// Tells the events of one process, or one numbering, from those of another.
    epoch: u64,
    number: u64,
    periods: u64,
    fleet: FleetView,
    /// Counts what nodes there are and where they stand.
    layout: u64,
    totals: Totals,
    room: Room,
    gangs: Gangs,
    claims: Claims,
    waiting_pods: usize,
    history: History,
    decisions: VecDeque<DecisionLine>,
    recent: VecDeque<Arc<Event>>,
    everything: Option<(u64, Everything)>,
}

/// Everything that the page shows, as compressed JSON with its tag.
#[derive(Debug, Clone)]
pub struct Everything {
    /// Names what it is of.
    pub id: String,
    /// JSON, compressed with gzip.
    pub gzip: Bytes,
}

/// What is sent when something has changed. Parts that have not are left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    at_ms: u64,
    layout: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    workloads: &'a [Workload],
    workloads_from: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<&'a NodeCells>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<&'a Totals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a Room>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gangs: Option<&'a Gangs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<&'a Claims>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decisions: &'a Vec<DecisionLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<Sample>,
}

/// Everything, for who begins to look.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    id: &'a str,
    title: &'a str,
    version: &'static str,
    at_ms: u64,
    layout: u64,
    kinds: &'a [Kind],
    faces: Vec<WireFace<'a>>,
    workloads: &'a [Workload],
    nodes: Vec<&'a NodeCells>,
    totals: &'a Totals,
    room: &'a Room,
    gangs: &'a Gangs,
    claims: &'a Claims,
    decisions: &'a VecDeque<DecisionLine>,
    history: Vec<Sample>,
}

#[derive(Serialize)]
struct WireFace<'a> {
    slot: usize,
    name: &'a str,
    kind: usize,
    #[serde(flatten)]
    stand: &'a Stand,
}

impl Publisher {
    /// A publisher of what a host knows; `title` is what the page calls the cluster, and `prices` are what its nodes cost.
    pub fn new(host: Arc<Host>, title: impl Into<String>, prices: Option<Prices>) -> Self {
        let state = State::new(host.now_ms());
        let (events, _) = broadcast::channel(MAX_BEHIND);
        Self { host, title: title.into(), prices, state: Mutex::new(state), events, listeners: AtomicUsize::new(0) }
    }

    /// Publishes what changes; ends never.
    pub async fn run(self: Arc<Self>) {
        let mut periods = tokio::time::interval(PERIOD);
        periods.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            periods.tick().await;
            let publisher = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || publisher.publish()).await {
                tracing::error!(%error, "what the page shows could not be computed");
            }
        }
    }

    /// Looks at what has changed and tells the listeners.
    pub fn publish(&self) {
        let mut state = self.state.lock();
        state.periods += 1;
        match state.change(&self.host, self.prices.as_ref()) {
            Some(event) => drop(self.events.send(event)),
            None if state.periods.is_multiple_of(HEARTBEAT) => drop(self.events.send(Arc::new(Event::heartbeat()))),
            None => {}
        }
    }

    /// Everything that the page shows.
    pub fn everything(&self) -> Everything {
        let mut state = self.state.lock();
        if state.periods == 0 {
            state.periods = 1;
            state.change(&self.host, self.prices.as_ref());
        }
        if let Some((number, everything)) = &state.everything
            && *number == state.number
        {
            return everything.clone();
        }
        let everything = state.everything(&self.title, self.host.now_ms());
        state.everything = Some((state.number, everything.clone()));
        everything
    }

    /// Begins to listen after the event of this id; nothing where there are too many listeners.
    pub fn listen(self: &Arc<Self>, since: &str) -> Option<Listener> {
        if self.listeners.fetch_add(1, Ordering::AcqRel) >= MAX_LISTENERS {
            self.listeners.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let state = self.state.lock();
        let missed = state.since(since);
        Some(Listener { missed, events: self.events.subscribe(), publisher: Arc::clone(self) })
    }
}

/// Somebody who listens.
pub struct Listener {
    /// What was missed; none where that is not remembered: everything has to be asked for again.
    pub missed: Option<Vec<Arc<Event>>>,
    /// What comes.
    pub events: broadcast::Receiver<Arc<Event>>,
    publisher: Arc<Publisher>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.publisher.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

impl State {
    fn new(epoch: u64) -> Self {
        Self {
            epoch,
            number: 0,
            periods: 0,
            fleet: FleetView::default(),
            layout: 0,
            totals: Totals::default(),
            room: Room::default(),
            gangs: Gangs::default(),
            claims: Claims::default(),
            waiting_pods: 0,
            history: History::default(),
            decisions: VecDeque::new(),
            recent: VecDeque::new(),
            everything: None,
        }
    }

    fn id(&self) -> String {
        format!("{}-{}", self.epoch, self.number)
    }

    /// Takes in what has changed, as an event if anything has.
    fn change(&mut self, host: &Host, prices: Option<&Prices>) -> Option<Arc<Event>> {
        if self.fleet.workloads().is_full() {
            self.begin_anew(host.now_ms());
        }
        let changes = self.fleet.keep_up(&host.snapshot_to_show());
        self.layout += u64::from(changes.layout);
        let has_moved = changes.layout || !changes.slots.is_empty();
        let totals = if has_moved { replaced(&mut self.totals, totals(&self.fleet, prices)) } else { false };
        let room = if has_moved { replaced(&mut self.room, room(&self.fleet)) } else { false };
        let (mut gangs_changed, mut claims_changed, mut sample) = (false, false, None);
        if self.periods % SLOW == 1 {
            let (stages, underway) = host.gangs_underway();
            gangs_changed = replaced(&mut self.gangs, gangs(&stages, underway));
            claims_changed = replaced(&mut self.claims, claims(host.claims()));
            self.waiting_pods = host.waiting_pods();
            sample = Some(self.sample(host.now_ms())).filter(|sample| self.history.push(*sample));
        }
        let decisions = self.take_decisions(host);
        if !has_moved && !gangs_changed && !claims_changed && decisions.is_empty() && sample.is_none() {
            return None;
        }
        self.number += 1;
        let change = Change {
            at_ms: host.now_ms(),
            layout: self.layout,
            workloads: self.fleet.workloads().from(changes.workloads_from),
            workloads_from: changes.workloads_from,
            nodes: changes.slots.iter().filter_map(|slot| Some(&self.fleet.node(*slot)?.cells)).collect(),
            totals: totals.then_some(&self.totals),
            room: room.then_some(&self.room),
            gangs: gangs_changed.then_some(&self.gangs),
            claims: claims_changed.then_some(&self.claims),
            decisions: &decisions,
            sample,
        };
        let data = serde_json::to_string(&change).expect("a view can be serialized");
        let event = Arc::new(Event::new(self.number, &self.id(), "change", &data));
        self.remember(Arc::clone(&event));
        Some(event)
    }

    /// Other numbers for everything: who listens has to ask for it again.
    fn begin_anew(&mut self, now_ms: u64) {
        self.epoch = now_ms.max(self.epoch + 1);
        self.fleet = FleetView::default();
        self.recent.clear();
        self.everything = None;
        // Nobody has this layout.
        self.layout += 1;
    }

    fn sample(&self, now_ms: u64) -> Sample {
        let Permille { taken, fragmentation } = self.totals.permille;
        Sample {
            at_s: now_ms / 1000,
            allocated_permille: taken,
            unusable_permille: fragmentation,
            waiting_gangs: self.gangs.waiting,
            waiting_pods: self.waiting_pods,
        }
    }

    fn take_decisions(&mut self, host: &Host) -> Vec<DecisionLine> {
        let since = self.decisions.back().map_or(0, |last| last.number);
        let news: Vec<DecisionLine> =
            host.decisions_since(since).iter().map(|decision| DecisionLine::of(decision)).collect();
        self.decisions.extend(news.iter().cloned());
        let too_many = self.decisions.len().saturating_sub(MAX_DECISIONS);
        self.decisions.drain(..too_many);
        news
    }

    fn remember(&mut self, event: Arc<Event>) {
        self.recent.push_back(event);
        let mut bytes: usize = self.recent.iter().map(|event| event.bytes()).sum();
        while self.recent.len() > MAX_EVENTS || (bytes > MAX_EVENT_BYTES && self.recent.len() > 1) {
            bytes -= self.recent.pop_front().map_or(0, |event| event.bytes());
        }
    }

    /// The events after the one of this id; none where some of them are not remembered.
    fn since(&self, id: &str) -> Option<Vec<Arc<Event>>> {
        let (epoch, number) = id.split_once('-')?;
        if epoch.parse() != Ok(self.epoch) {
            return None;
        }
        let number: u64 = number.parse().ok().filter(|number| *number <= self.number)?;
        let oldest = self.recent.front().map_or(self.number + 1, |event| event.number);
        let missed = self.recent.iter().filter(|event| event.number > number);
        (number + 1 >= oldest).then(|| missed.cloned().collect())
    }

    fn everything(&self, title: &str, now_ms: u64) -> Everything {
        let id = self.id();
        let seen: Vec<_> = self.fleet.nodes().collect();
        let whole = Whole {
            id: &id,
            title,
            version: env!("CARGO_PKG_VERSION"),
            at_ms: now_ms,
            layout: self.layout,
            kinds: self.fleet.kinds(),
            faces: seen
                .iter()
                .map(|seen| WireFace {
                    slot: seen.cells.slot,
                    name: &seen.face.name,
                    kind: seen.face.kind,
                    stand: &seen.face.stand,
                })
                .collect(),
            workloads: self.fleet.workloads().from(0),
            nodes: seen.iter().map(|seen| &seen.cells).collect(),
            totals: &self.totals,
            room: &self.room,
            gangs: &self.gangs,
            claims: &self.claims,
            decisions: &self.decisions,
            history: self.history.samples(),
        };
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        serde_json::to_writer(&mut gzip, &whole).expect("a view can be serialized");
        gzip.flush().expect("memory can be written");
        Everything { id, gzip: gzip.finish().expect("memory can be written").into() }
    }
}

/// Puts in what is new; says whether it differs from what was there.
fn replaced<T: PartialEq>(known: &mut T, new: T) -> bool {
    let differs = *known != new;
    *known = new;
    differs
}

#[cfg(test)]
#[path = "publisher_tests.rs"]
mod tests;
