//! Kubeconfig files, the only way anything here is told who it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::config::KubeConfigOptions;
use serde_json::{Value, json};

use crate::pki::{Identity, file_name};
use crate::workdir::Workdir;

/// A kubeconfig file of one user.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    path: PathBuf,
    user: String,
}

impl Kubeconfig {
    /// One that shows a client certificate.
    pub(crate) fn with_certificate(
        dir: &Workdir,
        server: &str,
        authority: &Path,
        user: &str,
        identity: &Identity,
    ) -> Result<Self> {
        let proof = json!({ "client-certificate": identity.cert, "client-key": identity.key });
        Self::write(dir, server, authority, user, proof)
    }

    /// One that shows a bearer token.
    pub(crate) fn with_token(dir: &Workdir, server: &str, authority: &Path, user: &str, token: &str) -> Result<Self> {
        Self::write(dir, server, authority, user, json!({ "token": token }))
    }

    fn write(dir: &Workdir, server: &str, authority: &Path, user: &str, proof: Value) -> Result<Self> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "e2e", "cluster": { "server": server, "certificate-authority": authority } }],
            "users": [{ "name": user, "user": proof }],
            "contexts": [{ "name": "e2e", "context": { "cluster": "e2e", "user": user } }],
            "current-context": "e2e",
        });
        // JSON is YAML.
        let path = dir.write(format!("kubeconfig/{}.yaml", file_name(user)), format!("{config:#}\n"))?;
        Ok(Self { path, user: user.to_owned() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who it is for, as RBAC and the audit log write it.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// A client that is this user.
    pub async fn client(&self) -> Result<kube::Client> {
        let file = kube::config::Kubeconfig::read_from(&self.path)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .with_context(|| format!("cannot use {}", self.path.display()))?;
        kube::Client::try_from(config).with_context(|| format!("cannot make a client for {}", self.user))
    }
}
