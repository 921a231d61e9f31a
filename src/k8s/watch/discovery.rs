//! Which kinds of group objects a cluster serves, and in which versions.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use kube::Client;

use super::super::gang::objects::{KINDS, Kind};

/// The newest version in which each kind is served, that we understand; none for a kind that is not served. A kind of
/// which nothing could be learnt is missing.
pub(crate) type Found = BTreeMap<String, (&'static Kind, Option<&'static str>)>;

/// Asks the API server. That is one request, and one more for each version of an API group of ours that is there.
pub(crate) async fn discover(client: &Client) -> Result<Found, kube::Error> {
    let groups = client.list_api_groups().await?.groups;
    let mut asked = BTreeMap::new();
    let mut found = Found::new();
    for kind in KINDS {
        let group = groups.iter().find(|group| group.name == kind.api_group);
        match newest(client, kind, group, &mut asked).await {
            Ok(version) => _ = found.insert(kind.resource(), (kind, version)),
            Err(error) => tracing::warn!(kind = kind.resource(), %error, "whether the cluster has this is not known"),
        }
    }
    Ok(found)
}

async fn newest(
    client: &Client,
    kind: &Kind,
    group: Option<&APIGroup>,
    asked: &mut BTreeMap<String, APIResourceList>,
) -> Result<Option<&'static str>, kube::Error> {
    let Some(group) = group else { return Ok(None) };
    for version in kind.versions {
        let served = group.versions.iter().find(|served| served.version == *version);
        let Some(served) = served.map(|served| &served.group_version) else { continue };
        if !asked.contains_key(served) {
            match client.list_api_group_resources(served).await {
                Ok(list) => _ = asked.insert(served.clone(), list),
                // It has gone since.
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => return Err(error),
            }
        }
        if asked.get(served).is_some_and(|list| allows(list, kind.plural, &["list", "watch"])) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

/// Does the cluster serve this resource, for all of these verbs?
pub(crate) async fn is_served(
    client: &Client,
    group: &str,
    version: &str,
    plural: &str,
    verbs: &[&str],
) -> Result<bool, kube::Error> {
    match client.list_api_group_resources(&format!("{group}/{version}")).await {
        Ok(list) => Ok(allows(&list, plural, verbs)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

fn allows(list: &APIResourceList, plural: &str, verbs: &[&str]) -> bool {
    list.resources.iter().any(|resource| {
        let can = |verb: &&str| resource.verbs.iter().any(|known| known == verb);
        resource.name == plural && verbs.iter().all(can)
    })
}
