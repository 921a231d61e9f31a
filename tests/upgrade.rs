//! What earlier versions have left on the objects of a cluster is taken up: a gang that they have planned, and of which a part
//! has its nodes already, keeps its places. `tests/fixtures/upgrade` has every form in which a plan was ever written.
//!
//! The same with two programs, of which one is built from an earlier state of the repository, is the scenario
//! `failover::a_former_version_hands_over` of the end-to-end tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::registry::Registry;
use testudo::config::Mode;
use testudo::host::{Bindings, Host};
use testudo::k8s::manifests::{Limits, Reader};
use testudo_core::engine::{GangStage, GangView, Policy};
use testudo_core::model::catalogue::Catalogue;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/upgrade");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// What a new leader makes of a cluster.
async fn taken_up(manifests: &str) -> GangView {
    let registry = &mut Registry::default();
    let host = Host::new(Policy::default(), Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, registry);
    let host = Arc::new(host);
    let mut reader = Reader::new(Limits::default());
    reader.add("cluster.yaml", manifests.as_bytes()).unwrap();
    host.take_manifests(reader.finish());
    host.settle_gangs().await;
    host.gangs_named("team", "llama").remove(0)
}

/// Where the members are, or are to be.
fn places(gang: &GangView) -> BTreeMap<String, String> {
    let place = |member: &testudo_core::engine::MemberView| {
        let (pod, node) = (member.pod.as_ref()?, member.node.as_ref()?);
        Some((pod.name.clone(), node.to_string()))
    };
    gang.members.iter().filter_map(place).collect()
}

#[tokio::test]
async fn a_half_arrived_gang_keeps_the_places_that_any_version_has_written() {
    let wanted = [("rank-0", "gpu-5"), ("rank-1", "gpu-3"), ("rank-2", "gpu-4")];
    let wanted: BTreeMap<String, String> =
        wanted.into_iter().map(|(pod, node)| (pod.to_owned(), node.to_owned())).collect();
    let fixtures = fixtures();
    assert!(fixtures.len() >= 5, "{fixtures:?}");
    for path in fixtures {
        let gang = taken_up(&fs::read_to_string(&path).unwrap()).await;
        assert_eq!(gang.stage, GangStage::Planned, "{}: {gang:?}", path.display());
        assert_eq!(places(&gang), wanted, "{}", path.display());
        let bound: Vec<bool> = gang.members.iter().map(|member| member.is_bound).collect();
        assert_eq!(bound, [true, false, false], "{}", path.display());
    }
}

/// The places of the fixtures are those that nobody would find again.
#[tokio::test]
async fn without_what_was_written_other_places_are_found() {
    let path = fixtures().remove(0);
    let forgotten: String = {
        let text = fs::read_to_string(path).unwrap();
        text.lines().filter(|line| !line.contains("testudo.dev/plan")).map(|line| format!("{line}\n")).collect()
    };
    let gang = taken_up(&forgotten).await;
    assert_eq!(gang.stage, GangStage::Planned, "{gang:?}");
    assert_eq!(places(&gang)["rank-0"], "gpu-5", "it runs there");
    assert_ne!(places(&gang)["rank-1"], "gpu-3");
}
