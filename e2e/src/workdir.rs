//! The folder of one control plane: keys, kubeconfigs, configurations, etcd's data and a log per process.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Context, Result};

/// A temporary folder that is removed when it is dropped, unless somebody asked to [`keep`](Workdir::keep) it.
///
/// `TESTUDO_E2E_KEEP=1` in the environment keeps every folder.
#[derive(Debug)]
pub struct Workdir {
    path: PathBuf,
    keep: AtomicBool,
}

impl Workdir {
    /// Makes a new folder that only this user can read (it will hold private keys).
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("testudo-e2e-{}-{count}", std::process::id()));
        // What an earlier process with the same id has left is of no use to anybody any more.
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove the old {}", path.display()))?;
        }
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        let keep = std::env::var_os("TESTUDO_E2E_KEEP").is_some_and(|value| !value.is_empty());
        Ok(Self { path, keep: AtomicBool::new(keep) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it, by a path relative to it.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in it, making the folders on the way.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.file(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Leaves the folder in place when this is dropped, for somebody to read the logs.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }

    /// Whether the folder will stay.
    pub fn is_kept(&self) -> bool {
        self.keep.load(Ordering::Relaxed)
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        if self.is_kept() || std::thread::panicking() {
            eprintln!("testudo-e2e: logs and files are kept in {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("testudo-e2e: cannot remove {}: {error}", self.path.display());
        }
    }
}
