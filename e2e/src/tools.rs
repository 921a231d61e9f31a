//! Where the control plane's binaries are: `KUBEBUILDER_ASSETS`, else the cache that `e2e/tools/build.sh` fills.

use std::path::{Path, PathBuf};
use std::{env, fmt};

use anyhow::{Context, Result, bail};

/// A Kubernetes minor version that `e2e/tools` can build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// Kubernetes 1.34
    V1_34,
    /// Kubernetes 1.35
    V1_35,
    /// Kubernetes 1.36
    #[default]
    V1_36,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 3] = [Self::V1_34, Self::V1_35, Self::V1_36];

    /// The version that `K8S` in the environment asks for, else the newest.
    pub fn from_env() -> Result<Self> {
        let Some(wanted) = env::var("K8S").ok().filter(|wanted| !wanted.is_empty()) else {
            return Ok(Self::default());
        };
        let known = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == wanted)
            .with_context(|| format!("K8S={wanted} is not a version that the tests know; there are {known}"))
    }

    /// `1.36`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_34 => "1.34",
            Self::V1_35 => "1.35",
            Self::V1_36 => "1.36",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The binaries of one control plane.
#[derive(Debug, Clone)]
pub struct Tools {
    /// etcd
    pub etcd: PathBuf,
    /// kube-apiserver
    pub apiserver: PathBuf,
    /// kube-controller-manager
    pub controller_manager: PathBuf,
    /// kube-scheduler
    pub scheduler: PathBuf,
    /// kwok, which plays the kubelets
    pub kwok: PathBuf,
}

impl Tools {
    /// Finds all binaries for `version`.
    pub fn find(version: Version) -> Result<Self> {
        let cache = cache()?;
        let k8s = cache.join(format!("k8s-{version}"));
        Ok(Self {
            etcd: find(&cache.join("etcd"), "etcd", version)?,
            apiserver: find(&k8s, "kube-apiserver", version)?,
            controller_manager: find(&k8s, "kube-controller-manager", version)?,
            scheduler: find(&k8s, "kube-scheduler", version)?,
            kwok: find(&cache.join("kwok"), "kwok", version)?,
        })
    }
}

/// The claim allocator's oracle: upstream's own allocator behind JSON lines, the same with every version.
pub fn dra_oracle() -> Result<PathBuf> {
    find(&cache()?.join("dra-oracle"), "dra-oracle", Version::default())
}

/// What renders and installs the chart.
pub fn helm() -> Result<PathBuf> {
    find(&cache()?.join("helm"), "helm", Version::default())
}

/// What compares manifests with the schemas of the Kubernetes API.
pub fn kubeconform() -> Result<PathBuf> {
    find(&cache()?.join("kubeconform"), "kubeconform", Version::default())
}

/// What checks and tests rules of Prometheus.
pub fn promtool() -> Result<PathBuf> {
    installed("promtool")
}

/// What scrapes metrics.
pub fn prometheus() -> Result<PathBuf> {
    installed("prometheus")
}

/// A program in `PATH`, as the system's packages bring it.
fn installed(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not in PATH; install Prometheus (Debian: apt-get install prometheus)"))
}

/// The folder of the schemas of the Kubernetes API, one folder a version.
pub fn schemas() -> Result<PathBuf> {
    let path = cache()?.join("schemas");
    if !path.join("stamp").is_file() {
        bail!("there is no {} yet; fetch it with e2e/tools/build.sh", path.display());
    }
    Ok(path)
}

/// Whether `KUBEBUILDER_ASSETS` is set: then the version of what runs is not ours to know.
pub fn has_assets() -> bool {
    assets().is_some()
}

fn assets() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn find(built: &Path, name: &str, version: Version) -> Result<PathBuf> {
    if let Some(asset) = assets().map(|assets| assets.join(name)).filter(|asset| asset.is_file()) {
        return Ok(asset);
    }
    let path = built.join(name);
    if !path.is_file() {
        bail!("there is no {} yet; build it with: K8S={version} e2e/tools/build.sh", path.display());
    }
    Ok(path)
}

/// The same rule as in `build.sh`.
fn cache() -> Result<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("TESTUDO_E2E_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("testudo-e2e")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/testudo-e2e")))
        .context("none of TESTUDO_E2E_CACHE, XDG_CACHE_HOME and HOME is set: where are the binaries?")
}
