//! Everything that a snapshot takes, from the API server.

use std::collections::BTreeMap;

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use super::fields::{KINDS, Kind};
use super::{LeftOut, Snapshot, dra, kind_and_group};
use crate::k8s::watch::discovery;

/// Objects in one answer of the API server.
const PAGE: u32 = 500;

/// The version of `resource.k8s.io` that is read.
const DRA_VERSION: &str = "v1";

/// Lists what the cluster has. Nodes and pods must be had; other kinds are left out where they are not served or cannot be
/// listed, which is said in the snapshot. `progress` is told how many objects there are so far, and how many more there
/// are of the same kind, where the API server says it.
///
/// # Errors
/// When nodes or pods cannot be listed, or nothing can be asked.
pub async fn list(client: &Client, mut progress: impl FnMut(usize, usize)) -> Result<Snapshot, kube::Error> {
    let versions = versions(client).await?;
    let (mut objects, mut left_out) = (vec![], BTreeMap::new());
    for kind in KINDS {
        let Some(version) = versions.get(&kind.resource()) else { continue };
        match list_kind(client, kind, version, &mut objects, &mut progress).await {
            Ok(()) => {}
            Err(error) if kind.api_group.is_empty() => return Err(error),
            Err(error) => {
                objects.retain(|object| !is_of(kind, object));
                left_out.insert(kind.resource(), LeftOut::from(&error));
            }
        }
    }
    let mut snapshot = Snapshot::of(&objects);
    snapshot.left_out.extend(left_out);
    Ok(snapshot)
}

/// The version in which each kind is served that we read, by resource.
async fn versions(client: &Client) -> Result<BTreeMap<String, &'static str>, kube::Error> {
    let served = discovery::discover(client).await?;
    let mut versions: BTreeMap<String, &'static str> =
        served.into_iter().filter_map(|(resource, (_, version))| Some((resource, version?))).collect();
    let groups = client.list_api_groups().await?.groups;
    let serves_claims = groups.iter().any(|group| {
        group.name == dra::API_GROUP && group.versions.iter().any(|version| version.version == DRA_VERSION)
    });
    for kind in KINDS {
        match kind.api_group {
            "" => _ = versions.insert(kind.resource(), "v1"),
            dra::API_GROUP if serves_claims => _ = versions.insert(kind.resource(), DRA_VERSION),
            _ => {}
        }
    }
    Ok(versions)
}

async fn list_kind(
    client: &Client,
    kind: &Kind,
    version: &str,
    objects: &mut Vec<Value>,
    progress: &mut impl FnMut(usize, usize),
) -> Result<(), kube::Error> {
    let api_version =
        if kind.api_group.is_empty() { version.to_owned() } else { format!("{}/{version}", kind.api_group) };
    let resource = ApiResource {
        group: kind.api_group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.clone(),
        kind: kind.name.to_owned(),
        plural: kind.plural.to_owned(),
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list(&page).await?;
        for object in list.items {
            let mut object = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
            // Items of a list leave this to the list.
            object["apiVersion"] = api_version.as_str().into();
            object["kind"] = kind.name.into();
            // Taken at once: what is not to be saved is not kept in memory either.
            objects.push(kind.take(&object));
        }
        let remaining = list.metadata.remaining_item_count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        progress(objects.len(), remaining);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

fn is_of(kind: &Kind, object: &Value) -> bool {
    let of_core = kind.api_group.is_empty();
    kind_and_group(object) == if of_core { kind.name.to_owned() } else { format!("{}.{}", kind.name, kind.api_group) }
}
