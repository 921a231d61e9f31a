//! The policy file, looked at from time to time.
//!
//! It is polled and compared by content, as the TLS files are: Kubernetes updates a mounted ConfigMap by swapping symbolic
//! links, which file notifications miss in more ways than one.

use std::fs;
use std::path::{Path, PathBuf};

use super::{PolicyError, Read, parse};

/// A policy file, and what it held when it was last looked at.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    /// Its text; none where it could not be read.
    seen: Result<String, PolicyError>,
}

impl Watched {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When it cannot be used: there is no older policy that could stay in force.
    pub fn open(path: &Path) -> Result<(Self, Read), PolicyError> {
        let text = text(path)?;
        let read = parse(&text, path)?;
        Ok((Self { path: path.to_path_buf(), seen: Ok(text) }, read))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What has become of it since, if something has: what is broken is told once, not at every look.
    pub fn look(&mut self) -> Option<Result<Read, PolicyError>> {
        let found = text(&self.path);
        if found == self.seen {
            return None;
        }
        let read = found.clone().and_then(|text| parse(&text, &self.path));
        self.seen = found;
        Some(read)
    }
}

fn text(path: &Path) -> Result<String, PolicyError> {
    fs::read_to_string(path)
        .map_err(|error| PolicyError::Unreadable { path: path.to_path_buf(), problem: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: policy.testudo.dev/v1alpha1\nkind: PlacementPolicy\n";

    #[test]
    fn each_change_is_told_once_and_what_is_broken_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("testudo-policy-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("policy.yaml");
        let write = |body: &str| fs::write(&path, format!("{HEAD}{body}")).unwrap();
        write("");
        let (mut watched, read) = Watched::open(&path).unwrap();
        assert_eq!(read, Read::default());
        assert_eq!(watched.look(), None, "nothing has changed");
        write("profiles: [{name: rest, zones: spread}]\n");
        let read = watched.look().unwrap().unwrap();
        assert_eq!(read.policy.profiles.iter().next().unwrap().name.as_ref(), "rest");
        write("profiles: [{name: rest, zones: apart}]\n");
        let error = watched.look().unwrap().unwrap_err().to_string();
        assert!(error.contains("policy.yaml:3:32: ") && error.contains("apart"), "{error}");
        assert_eq!(watched.look(), None, "told once");
        fs::remove_file(&path).unwrap();
        assert!(matches!(watched.look(), Some(Err(PolicyError::Unreadable { .. }))));
        assert_eq!(watched.look(), None);
        write("");
        assert_eq!(watched.look(), Some(Ok(Read::default())));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn there_is_no_beginning_without_a_policy_that_can_be_used() {
        assert!(matches!(Watched::open(Path::new("/nowhere/policy.yaml")), Err(PolicyError::Unreadable { .. })));
    }
}
