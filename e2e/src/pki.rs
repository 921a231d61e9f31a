//! The certificates of one control plane: an authority of its own that nobody else trusts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::workdir::Workdir;

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, PEM.
    pub cert: PathBuf,
    /// The private key, PEM (PKCS #8).
    pub key: PathBuf,
}

/// A certificate authority with its files.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: Identity,
}

impl Authority {
    /// Makes an authority called `name` with its files under `pki/`.
    pub fn new(dir: &Workdir, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = new_key()?;
        let key_pem = key.serialize_pem();
        let issuer = CertifiedIssuer::self_signed(params, key).context("cannot sign the authority's certificate")?;
        let files = Identity {
            cert: dir.write(format!("pki/{name}.crt"), issuer.pem())?,
            key: dir.write(format!("pki/{name}.key"), key_pem)?,
        };
        Ok(Self { issuer, files })
    }

    /// Its certificate and key files.
    pub fn files(&self) -> &Identity {
        &self.files
    }

    /// The certificate file.
    pub fn cert(&self) -> &Path {
        &self.files.cert
    }

    /// The certificate as DER.
    pub fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// A serving certificate for loopback.
    pub fn server(&self, dir: &Workdir, name: &str) -> Result<Identity> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "kubernetes.default.svc".to_owned()];
        let mut params = CertificateParams::new(names).context("not a host name")?;
        params.distinguished_name = subject(name, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(dir, name, params)
    }

    /// A client certificate: Kubernetes reads the user from the common name and the groups from the organizations.
    pub fn client(&self, dir: &Workdir, user: &str, groups: &[&str]) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(user, groups)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(dir, &file_name(user), params)
    }

    fn sign(&self, dir: &Workdir, name: &str, mut params: CertificateParams) -> Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = new_key()?;
        let cert =
            params.signed_by(&key, &self.issuer).with_context(|| format!("cannot sign the certificate of {name}"))?;
        Ok(Identity {
            cert: dir.write(format!("pki/{name}.crt"), cert.pem())?,
            key: dir.write(format!("pki/{name}.key"), key.serialize_pem())?,
        })
    }
}

/// The key that service account tokens are signed with: (public key file, private key file).
pub fn service_account_key(dir: &Workdir) -> Result<(PathBuf, PathBuf)> {
    let key = new_key()?;
    Ok((
        dir.write("pki/service-account.pub", key.public_key_pem())?,
        dir.write("pki/service-account.key", key.serialize_pem())?,
    ))
}

/// A user's name as a file name: `system:kube-scheduler` has a colon that some tools read as a separator.
pub fn file_name(user: &str) -> String {
    user.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '-' }).collect()
}

fn new_key() -> Result<KeyPair> {
    KeyPair::generate().context("cannot make a key")
}

fn subject(user: &str, groups: &[&str]) -> Result<DistinguishedName> {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    // rcgen keeps one value per attribute type, and counts the same type written as an object id as another one.
    let organization = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
    if groups.len() > organization.len() {
        bail!("a certificate of this harness carries at most two groups; {user} has {groups:?}. Use a service account");
    }
    for (kind, group) in organization.into_iter().zip(groups) {
        name.push(kind, *group);
    }
    Ok(name)
}
