//! Is the cluster of a version that testudo works with?

use super::Finding;

const ABOUT: &str = "Kubernetes";

/// The oldest and the newest minor version that the tests run.
const TESTED: std::ops::RangeInclusive<u32> = 34..=36;

/// From here on admission policies can change pods.
const MUTATING_POLICIES: u32 = 36;

/// The minor version of `v1.35.2-eks-abc`.
pub fn minor(version: &str) -> Option<u32> {
    let (major, rest) = version.strip_prefix('v').unwrap_or(version).split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (major == "1").then(|| minor.parse().ok())?
}

pub fn finding(server: &str) -> Finding {
    let (oldest, newest) = (TESTED.start(), TESTED.end());
    match minor(server) {
        Some(minor) if TESTED.contains(&minor) => {
            let without_policies = minor < MUTATING_POLICIES;
            let note = if without_policies {
                "; policies that change pods need 1.36: set schedulerName and gate yourself"
            } else {
                ""
            };
            Finding::ok(ABOUT, format!("{server}{note}"))
        }
        Some(minor) if minor < *oldest => {
            Finding::failed(ABOUT, format!("{server} is older than 1.{oldest}"), "upgrade the control plane first")
        }
        Some(_) => Finding::warning(
            ABOUT,
            format!("{server} is newer than 1.{newest}, the newest that the tests run"),
            "look for a newer release of testudo",
        ),
        None => {
            Finding::warning(ABOUT, format!("version {server:?} cannot be read"), "compare it with docs/install.md")
        }
    }
}
