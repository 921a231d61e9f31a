//! TLS from PEM files that are read again when they change.
//!
//! The files are polled and compared by content: Kubernetes updates a mounted secret by swapping symbolic links, which
//! file notifications miss in more ways than one. What cannot be used is reported and the old material stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};

use super::metrics::Metrics;

/// TLS from files in PEM.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// The certificate, followed by those that lead to its root.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// If set, a client must present a certificate issued by one of these.
    pub client_ca_file: Option<PathBuf>,
    /// How often the files are looked at. A replaced certificate serves new connections from then on.
    pub reload_interval: Duration,
}

impl TlsOptions {
    /// TLS without client certificates, with the usual reload interval.
    pub fn new(cert_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            cert_file: cert_file.into(),
            key_file: key_file.into(),
            client_ca_file: None,
            reload_interval: Duration::from_secs(10),
        }
    }
}

/// A TLS file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{role} {}: {problem}", .path.display())]
pub struct TlsError {
    role: &'static str,
    path: PathBuf,
    problem: String,
}

/// What the files hold, as bytes.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

const CERT: &str = "TLS certificate";
const KEY: &str = "TLS private key";
const CLIENT_CA: &str = "TLS client CA";

impl Files {
    fn read(options: &TlsOptions) -> Result<Self, TlsError> {
        let read = |role, path: &Path| {
            fs::read(path).map_err(|error| TlsError {
                role,
                path: path.into(),
                problem: format!("cannot be read: {error}"),
            })
        };
        Ok(Self {
            cert: read(CERT, &options.cert_file)?,
            key: read(KEY, &options.key_file)?,
            client_ca: options.client_ca_file.as_deref().map(|path| read(CLIENT_CA, path)).transpose()?,
        })
    }
}

/// What the files mean.
#[derive(Debug)]
struct Material {
    certified: Arc<CertifiedKey>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Material {
    fn new(files: &Files, options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let of_cert = |problem| TlsError { role: CERT, path: options.cert_file.clone(), problem };
        let of_key = |problem| TlsError { role: KEY, path: options.key_file.clone(), problem };
        let chain = certificates(&files.cert).map_err(of_cert)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|error| of_key(format!("holds no private key in PEM (PKCS#8, PKCS#1 or SEC1): {error}")))?;
        let key = provider.key_provider.load_private_key(key).map_err(|error| {
            of_key(format!("is of a kind that is not supported (RSA, ECDSA, Ed25519 are): {error}"))
        })?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|error| {
            of_key(format!("is not the key of the certificate {}: {error}", options.cert_file.display()))
        })?;
        let clients = match (&files.client_ca, &options.client_ca_file) {
            (Some(pem), Some(path)) => {
                let of_ca = |problem| TlsError { role: CLIENT_CA, path: path.clone(), problem };
                let verifier = client_verifier(pem, provider).map_err(of_ca)?;
                Some(verifier)
            }
            _ => None,
        };
        Ok(Self { certified: Arc::new(certified), clients })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("holds no certificate in PEM".into()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("is no valid PEM: {error}")),
    }
}

fn client_verifier(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| format!("holds a certificate that cannot be used: {error}"))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map(|verifier| verifier as _).map_err(|error| error.to_string())
}

/// The material of new connections. Certificate and client CA change together.
#[derive(Debug)]
struct Current {
    material: ArcSwap<Material>,
    provider: Arc<CryptoProvider>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.material.load().certified))
    }
}

impl ClientCertVerifier for Current {
    /// No hints: they would have to outlive a change of the CA.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match &self.material.load().clients {
            Some(clients) => clients.verify_client_cert(end_entity, intermediates, now),
            None => Err(rustls::Error::General("no client CA".into())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Looks at the files from time to time.
pub(crate) struct Reloader {
    options: TlsOptions,
    current: Arc<Current>,
    seen: Result<Files, TlsError>,
    metrics: Metrics,
}

/// Reads the files and makes a configuration of them.
pub(crate) fn load(options: TlsOptions, metrics: Metrics) -> Result<(ServerConfig, Reloader), TlsError> {
    let provider = Arc::new(ring::default_provider());
    let files = Files::read(&options)?;
    let material = ArcSwap::from_pointee(Material::new(&files, &options, &provider)?);
    let current = Arc::new(Current { material, provider: Arc::clone(&provider) });
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError { role: CERT, path: options.cert_file.clone(), problem: error.to_string() })?;
    let config = match &options.client_ca_file {
        Some(_) => config.with_client_cert_verifier(Arc::clone(&current) as _),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_cert_resolver(Arc::clone(&current) as _);
    // A resumed session would not be checked against the client CA of today.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((config, Reloader { options, current, seen: Ok(files), metrics }))
}

impl Reloader {
    pub(crate) async fn run(mut self) {
        loop {
            tokio::time::sleep(self.options.reload_interval).await;
            let options = self.options.clone();
            if let Ok(found) = tokio::task::spawn_blocking(move || Files::read(&options)).await {
                self.take_up(found);
            }
        }
    }

    /// Takes up what was found, if it is new. What is broken is reported once, not at every look.
    fn take_up(&mut self, found: Result<Files, TlsError>) {
        if found == self.seen {
            return;
        }
        let material = match &found {
            Ok(files) => Material::new(files, &self.options, &self.current.provider),
            Err(error) => Err(error.clone()),
        };
        self.metrics.reloaded(material.is_ok());
        match material {
            Ok(material) => {
                self.current.material.store(Arc::new(material));
                tracing::info!(cert_file = %self.options.cert_file.display(), "the TLS files changed and were taken up");
            }
            Err(error) => tracing::error!(%error, "the TLS files changed and cannot be used; the old ones stay in use"),
        }
        self.seen = found;
    }
}
