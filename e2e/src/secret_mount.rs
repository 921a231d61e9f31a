//! A folder of files that change all at once, as the kubelet mounts a secret.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::pki::Identity;
use crate::workdir::Workdir;

/// The folder: `tls.crt` leads to `..data/tls.crt`, and `..data` to the newest version.
#[derive(Debug)]
pub struct SecretMount {
    path: PathBuf,
    versions: u32,
}

impl SecretMount {
    /// Mounts a certificate with its key.
    pub fn new(dir: &Workdir, name: &str, identity: &Identity) -> Result<Self> {
        let path = dir.file(format!("mounts/{name}"));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let mut mount = Self { path, versions: 0 };
        mount.replace(identity)?;
        let files = mount.files();
        for file in [&files.cert, &files.key] {
            let name = file.file_name().context("a file without a name")?;
            link(&Path::new("..data").join(name), file)?;
        }
        Ok(mount)
    }

    /// Where the certificate and the key are.
    pub fn files(&self) -> Identity {
        Identity { cert: self.path.join("tls.crt"), key: self.path.join("tls.key") }
    }

    /// Puts others in their place, both in one step.
    pub fn replace(&mut self, identity: &Identity) -> Result<()> {
        self.versions += 1;
        let version = format!("..version-{}", self.versions);
        let folder = self.path.join(&version);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (from, to) in [(&identity.cert, "tls.crt"), (&identity.key, "tls.key")] {
            fs::copy(from, folder.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        let new = self.path.join("..data_tmp");
        link(Path::new(&version), &new)?;
        fs::rename(&new, self.path.join("..data")).context("cannot swap the versions")
    }
}

fn link(target: &Path, at: &Path) -> Result<()> {
    symlink(target, at).with_context(|| format!("cannot link {}", at.display()))
}
