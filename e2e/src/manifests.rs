//! Applying what `deploy/` ships, so that the tests run with those permissions and no others.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::control_plane::ControlPlane;
use crate::wait::{self, Look, PATIENCE};

/// The workspace's folder, to find `deploy/` in.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// The documents of a YAML file in the workspace.
pub fn documents(path: impl AsRef<Path>) -> Result<Vec<Value>> {
    let path = workspace().join(path);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).with_context(|| format!("{} is not YAML", path.display()))?;
    let documents: Vec<Value> = documents.into_iter().filter(|document| !document.is_null()).collect();
    ensure!(!documents.is_empty(), "{} is empty", path.display());
    Ok(documents)
}

impl ControlPlane {
    /// Applies every document of a YAML file, in their order; a path that is not absolute is in the workspace.
    pub async fn apply_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = workspace().join(path);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        self.apply_yaml(&text).await.with_context(|| format!("cannot apply {}", path.display()))
    }

    /// Applies every document of a text, in their order, server-side. Objects without a namespace that need one go to
    /// `default`.
    pub async fn apply_yaml(&self, text: &str) -> Result<()> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("not YAML")?;
        for document in documents {
            if document.is_null() {
                continue;
            }
            if document["kind"] == "List" {
                for item in document["items"].as_array().into_iter().flatten() {
                    self.apply(item.clone()).await?;
                }
            } else {
                self.apply(document).await?;
            }
        }
        Ok(())
    }

    /// Applies one object.
    pub async fn apply(&self, document: Value) -> Result<DynamicObject> {
        let object: DynamicObject = serde_json::from_value(document).context("not a Kubernetes object")?;
        let (api, name) = self.place_of(&object).await?;
        let params = PatchParams::apply("testudo-e2e").force();
        let applied = api.patch(&name, &params, &Patch::Apply(&object)).await;
        applied.with_context(|| format!("cannot apply {name}"))
    }

    /// Applies the status of one object, as `kubectl apply --server-side --subresource=status` does.
    pub async fn apply_status(&self, document: Value) -> Result<DynamicObject> {
        let object: DynamicObject = serde_json::from_value(document).context("not a Kubernetes object")?;
        let (api, name) = self.place_of(&object).await?;
        let params = PatchParams::apply("testudo-e2e").force();
        let applied = api.patch_status(&name, &params, &Patch::Apply(&object)).await;
        applied.with_context(|| format!("cannot apply the status of {name}"))
    }

    /// What would become of one object if it were created now, or what the API server says against it.
    pub async fn try_create(&self, document: Value) -> Result<Result<DynamicObject, String>> {
        let object: DynamicObject = serde_json::from_value(document).context("not a Kubernetes object")?;
        let (api, name) = self.place_of(&object).await?;
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        match api.create(&dry_run, &object).await {
            Ok(object) => Ok(Ok(object)),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) => Ok(Err(status.message)),
            Err(error) => Err(error).with_context(|| format!("cannot try to create {name}")),
        }
    }

    /// Deletes one object, if it is there.
    pub async fn delete(&self, document: Value) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(document).context("not a Kubernetes object")?;
        let (api, name) = self.place_of(&object).await?;
        match api.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => other.map(drop).with_context(|| format!("cannot delete {name}")),
        }
    }

    /// Where an object belongs, and its name.
    async fn place_of(&self, object: &DynamicObject) -> Result<(Api<DynamicObject>, String)> {
        let types = object.types.as_ref().context("an object without apiVersion and kind")?;
        let name = object.metadata.name.clone().context("an object without a name")?;
        let what = format!("{} {name}", types.kind);
        let gvk = GroupVersionKind::try_from(types).with_context(|| what.clone())?;
        let client = self.client();
        // A CustomResourceDefinition applied just before needs a moment until its kind is served.
        let (resource, capabilities) = wait::until(&format!("the kind of {what}"), PATIENCE, async || {
            Ok(match discovery::pinned_kind(&client, &gvk).await {
                Ok(found) => Look::Done(found),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await?;
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(client, &resource),
            Scope::Namespaced => {
                let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
                Api::namespaced_with(client, &namespace, &resource)
            }
        };
        Ok((api, name))
    }
}
