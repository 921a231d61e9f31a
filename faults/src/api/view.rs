//! What a client other than testudo sees of the cluster: a copy that is behind, each kind by another time.

use std::collections::BTreeMap;

use testudo::sim::rng::Rng;

use super::store::{Happened, Key, Kind, Object, Store, What};

/// A copy.
#[derive(Debug, Default)]
pub struct View {
    kinds: BTreeMap<Kind, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    after: u64,
    lag_ms: u64,
    objects: BTreeMap<Key, Object>,
}

impl View {
    /// Of these kinds, as they are now.
    pub fn of(kinds: &[Kind], store: &Store) -> Self {
        let seen = |kind: Kind| {
            let objects = store.all(kind).map(|(key, object)| (key.clone(), object.clone())).collect();
            (kind, Seen { after: store.version(), lag_ms: 0, objects })
        };
        Self { kinds: kinds.iter().map(|kind| seen(*kind)).collect() }
    }

    /// Takes in what can be seen by now; returns what that is.
    pub fn catch_up(&mut self, store: &Store, rng: &mut Rng, lag_ms: usize, now_ms: u64) -> Vec<(Kind, Happened)> {
        let mut all = vec![];
        for (kind, seen) in &mut self.kinds {
            let Ok(happened) = store.since(*kind, seen.after) else {
                all.extend(seen.list_anew(store, *kind).into_iter().map(|happened| (*kind, happened)));
                continue;
            };
            let visible = happened.iter().take_while(|happened| happened.at_ms + seen.lag_ms <= now_ms);
            let news: Vec<Happened> = visible.cloned().collect();
            for happened in news {
                seen.take(&happened);
                all.push((*kind, happened));
                seen.lag_ms = rng.below(lag_ms) as u64;
            }
        }
        all
    }

    /// All objects of a kind.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Object)> + Clone {
        self.kinds.get(&kind).into_iter().flat_map(|seen| &seen.objects)
    }

    /// An object.
    pub fn get(&self, kind: Kind, key: &Key) -> Option<&Object> {
        self.kinds.get(&kind)?.objects.get(key)
    }
}

impl Seen {
    fn take(&mut self, happened: &Happened) {
        let key = Key::of(&happened.object);
        match happened.what {
            What::Added | What::Modified => _ = self.objects.insert(key, happened.object.clone()),
            What::Deleted => _ = self.objects.remove(&key),
        }
        self.after = happened.version;
    }

    /// Too much has happened: everything is read anew.
    fn list_anew(&mut self, store: &Store, kind: Kind) -> Vec<Happened> {
        let now: BTreeMap<Key, Object> = store.all(kind).map(|(key, object)| (key.clone(), object.clone())).collect();
        let event =
            |what, object: &Object| Happened { at_ms: 0, version: store.version(), what, object: object.clone() };
        let gone = self.objects.iter().filter(|(key, _)| !now.contains_key(key));
        let mut events: Vec<Happened> = gone.map(|(_, object)| event(What::Deleted, object)).collect();
        events.extend(now.values().map(|object| event(What::Modified, object)));
        (self.objects, self.after) = (now, store.version());
        events
    }
}
