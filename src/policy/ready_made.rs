//! Profiles to begin with.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use testudo_core::engine::Profile;

/// As they are shipped. They are a policy like any other, but for their selectors, which take no pod.
pub const TEXT: &str = include_str!("ready_made.yaml");

static PROFILES: LazyLock<Vec<Arc<Profile>>> = LazyLock::new(|| {
    let read = super::parse(TEXT, Path::new("ready_made.yaml")).unwrap_or_else(|error| panic!("{error}"));
    let profiles = read.policy.profiles;
    // The last is that of all other pods, which is none of these.
    let count = profiles.iter().count() - 1;
    profiles.iter().take(count).cloned().collect()
});

/// The profile of this name.
pub fn profile(name: &str) -> Option<Profile> {
    PROFILES.iter().find(|profile| &*profile.name == name).map(|profile| Profile::clone(profile))
}

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|profile| &*profile.name)
}
