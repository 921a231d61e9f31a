//! A folder of files that change all at once, as the kubelet mounts a secret or a ConfigMap.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::pki::Identity;
use crate::workdir::Workdir;

/// The folder: `tls.crt` leads to `..data/tls.crt`, and `..data` to the newest version.
#[derive(Debug)]
struct Mount {
    path: PathBuf,
    versions: u32,
}

impl Mount {
    /// Mounts files with their content.
    fn new(dir: &Workdir, name: &str, files: &[(&str, Vec<u8>)]) -> Result<Self> {
        let path = dir.file(format!("mounts/{name}"));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let mut mount = Self { path, versions: 0 };
        mount.replace(files)?;
        for (name, _) in files {
            link(&Path::new("..data").join(name), &mount.path.join(name))?;
        }
        Ok(mount)
    }

    /// Puts others in their place, all in one step.
    fn replace(&mut self, files: &[(&str, Vec<u8>)]) -> Result<()> {
        self.versions += 1;
        let version = format!("..version-{}", self.versions);
        let folder = self.path.join(&version);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (name, content) in files {
            fs::write(folder.join(name), content).with_context(|| format!("cannot write {name}"))?;
        }
        let new = self.path.join("..data_tmp");
        link(Path::new(&version), &new)?;
        fs::rename(&new, self.path.join("..data")).context("cannot swap the versions")
    }
}

/// A mounted secret with a certificate and its key.
#[derive(Debug)]
pub struct SecretMount(Mount);

impl SecretMount {
    /// Mounts a certificate with its key.
    pub fn new(dir: &Workdir, name: &str, identity: &Identity) -> Result<Self> {
        Ok(Self(Mount::new(dir, name, &of(identity)?)?))
    }

    /// Where the certificate and the key are.
    pub fn files(&self) -> Identity {
        Identity { cert: self.0.path.join("tls.crt"), key: self.0.path.join("tls.key") }
    }

    /// Puts others in their place, both in one step.
    pub fn replace(&mut self, identity: &Identity) -> Result<()> {
        self.0.replace(&of(identity)?)
    }
}

fn of(identity: &Identity) -> Result<[(&'static str, Vec<u8>); 2]> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    Ok([("tls.crt", read(&identity.cert)?), ("tls.key", read(&identity.key)?)])
}

/// A mounted ConfigMap with one file.
#[derive(Debug)]
pub struct ConfigMount {
    mount: Mount,
    file: &'static str,
}

impl ConfigMount {
    /// Mounts a file with this text.
    pub fn new(dir: &Workdir, name: &str, file: &'static str, text: &str) -> Result<Self> {
        Ok(Self { mount: Mount::new(dir, name, &[(file, text.into())])?, file })
    }

    /// Where it is.
    pub fn file(&self) -> PathBuf {
        self.mount.path.join(self.file)
    }

    /// Gives it another text.
    pub fn replace(&mut self, text: &str) -> Result<()> {
        self.mount.replace(&[(self.file, text.into())])
    }
}

fn link(target: &Path, at: &Path) -> Result<()> {
    symlink(target, at).with_context(|| format!("cannot link {}", at.display()))
}
