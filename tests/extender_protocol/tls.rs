//! TLS, client certificates, and files that change.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use testudo::extender::TlsOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;

/// A certificate and its key, in PEM.
struct Pair {
    cert: String,
    key: String,
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn issue(&self) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        Pair { cert: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// A mounted secret: files are links into a directory that is swapped as a whole.
struct Secret {
    root: PathBuf,
    version: u32,
}

impl Secret {
    fn new(test: &str, pair: &Pair, ca: &str) -> Self {
        let root = std::env::temp_dir().join(format!("testudo-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        let mut secret = Self { root, version: 0 };
        secret.update(pair, ca);
        for file in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(Path::new("..data").join(file), secret.root.join(file)).unwrap();
        }
        secret
    }

    fn update(&mut self, pair: &Pair, ca: &str) {
        self.version += 1;
        let data = self.root.join(self.version.to_string());
        fs::create_dir(&data).unwrap();
        fs::write(data.join("tls.crt"), &pair.cert).unwrap();
        fs::write(data.join("tls.key"), &pair.key).unwrap();
        fs::write(data.join("ca.crt"), ca).unwrap();
        symlink(self.version.to_string(), self.root.join("..new")).unwrap();
        fs::rename(self.root.join("..new"), self.root.join("..data")).unwrap();
    }

    fn options(&self) -> TlsOptions {
        TlsOptions {
            reload_interval: Duration::from_millis(20),
            ..TlsOptions::new(self.root.join("tls.crt"), self.root.join("tls.key"))
        }
    }

    fn serve(&self, client_ca: bool) -> Served {
        let client_ca_file = client_ca.then(|| self.root.join("ca.crt"));
        serve(ServerOptions {
            tls: Some(TlsOptions { client_ca_file, ..self.options() }),
            metrics_bind_address: Some(([127, 0, 0, 1], 0).into()),
            ..options()
        })
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// What the server presents and answers to a filter request.
struct Seen {
    certificate: CertificateDer<'static>,
    alpn: Option<Vec<u8>>,
    answer: String,
}

/// A client that trusts one authority. It remembers its sessions.
fn client(trusted: &Authority, own: Option<&Pair>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Asks filter on a new connection.
async fn ask(served: &Served, client: &Arc<ClientConfig>) -> Result<Seen, std::io::Error> {
    let stream = TcpStream::connect(served.running.address()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::clone(client)).connect(name, stream).await?;
    let body = fixture("filter-names");
    let head =
        format!("POST /v1/filter HTTP/1.1\r\nHost: l\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let connection = stream.get_ref().1;
    Ok(Seen {
        certificate: connection.peer_certificates().unwrap()[0].clone().into_owned(),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        answer,
    })
}

fn der(pair: &Pair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()
}

/// Waits until that many changes of the files had this outcome.
async fn reloaded(served: &Served, outcome: &str, times: f64) {
    let url = format!("http://{}/metrics", served.running.metrics_address().unwrap());
    let series = format!("testudo_extender_certificate_reloads_total{{outcome=\"{outcome}\"}}");
    for _ in 0..500 {
        let text = served.client.get(&url).send().await.unwrap().text().await.unwrap();
        if value(&text, &series) == Some(times) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{series} did not become {times}");
}

#[tokio::test]
async fn filter_is_answered_over_tls_and_http_1() {
    let authority = Authority::new();
    let pair = authority.issue();
    let secret = Secret::new("plain", &pair, "");
    let served = secret.serve(false);
    let seen = ask(&served, &client(&authority, None)).await.unwrap();
    assert!(seen.answer.starts_with("HTTP/1.1 200 OK"), "{}", seen.answer);
    assert!(seen.answer.ends_with(fixture("filter-names.answer").trim_end()), "{}", seen.answer);
    assert_eq!(seen.alpn.as_deref(), Some(&b"http/1.1"[..]));
    assert!(ask(&served, &client(&Authority::new(), None)).await.is_err(), "the client does check the server");
}

#[tokio::test]
async fn with_a_client_ca_only_its_clients_are_answered() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let secret = Secret::new("mutual", &authority.issue(), &authority.pem());
    let served = secret.serve(true);
    let seen = ask(&served, &client(&authority, Some(&authority.issue()))).await.unwrap();
    assert!(seen.answer.starts_with("HTTP/1.1 200 OK"), "{}", seen.answer);
    assert!(ask(&served, &client(&authority, None)).await.is_err());
    assert!(ask(&served, &client(&authority, Some(&stranger.issue()))).await.is_err());
    assert!(served.client.get(served.url("/livez")).send().await.is_err(), "plain HTTP");
}

#[tokio::test]
async fn a_replaced_certificate_is_taken_up_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let (first, second, third) = (authority.issue(), authority.issue(), authority.issue());
    let mut secret = Secret::new("rotated", &first, "");
    let served = secret.serve(false);
    assert_eq!(ask(&served, &client(&authority, None)).await.unwrap().certificate, der(&first));

    secret.update(&second, "");
    reloaded(&served, "ok", 1.0).await;
    assert_eq!(ask(&served, &client(&authority, None)).await.unwrap().certificate, der(&second));

    secret.update(&Pair { cert: third.cert.clone(), key: first.key.clone() }, "");
    reloaded(&served, "failed", 1.0).await;
    secret.update(&Pair { cert: "nonsense".into(), key: third.key.clone() }, "");
    reloaded(&served, "failed", 2.0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    reloaded(&served, "failed", 2.0).await;
    assert_eq!(ask(&served, &client(&authority, None)).await.unwrap().certificate, der(&second));

    secret.update(&third, "");
    reloaded(&served, "ok", 2.0).await;
    assert_eq!(ask(&served, &client(&authority, None)).await.unwrap().certificate, der(&third));
}

#[tokio::test]
async fn a_replaced_client_ca_shuts_out_the_clients_of_the_old_one() {
    let (old, new) = (Authority::new(), Authority::new());
    let old_client = client(&old, Some(&old.issue()));
    let new_client = client(&old, Some(&new.issue()));
    let pair = old.issue();
    let mut secret = Secret::new("client-ca", &pair, &old.pem());
    let served = secret.serve(true);
    assert!(ask(&served, &old_client).await.is_ok());
    assert!(ask(&served, &new_client).await.is_err());

    secret.update(&pair, "");
    reloaded(&served, "failed", 1.0).await;
    assert!(ask(&served, &old_client).await.is_ok(), "an empty CA file changes nothing");

    secret.update(&pair, &new.pem());
    reloaded(&served, "ok", 1.0).await;
    assert!(ask(&served, &new_client).await.is_ok());
    assert!(ask(&served, &old_client).await.is_err());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_with_what_is_wrong() {
    let authority = Authority::new();
    let (pair, other) = (authority.issue(), authority.issue());
    let with = |cert: &str, key: &str, ca: &str| (Pair { cert: cert.into(), key: key.into() }, ca.to_owned());
    let good_ca = authority.pem();
    let table = [
        (with("", &pair.key, &good_ca), "TLS certificate {}/tls.crt: holds no certificate in PEM"),
        (with(&pair.key, &pair.key, &good_ca), "TLS certificate {}/tls.crt: holds no certificate in PEM"),
        (with(&pair.cert, "", &good_ca), "TLS private key {}/tls.key: holds no private key in PEM"),
        (with(&pair.cert, &other.key, &good_ca), "TLS private key {}/tls.key: is not the key of the certificate"),
        (with(&pair.cert[..200], &pair.key, &good_ca), "TLS certificate {}/tls.crt: is no valid PEM"),
        (with(&pair.cert, &pair.key, ""), "TLS client CA {}/ca.crt: holds no certificate in PEM"),
    ];
    for (index, ((pair, ca), expected)) in table.into_iter().enumerate() {
        let secret = Secret::new(&format!("broken-{index}"), &pair, &ca);
        assert_starts_with(&secret, expected);
    }
    let secret = Secret::new("missing", &pair, &good_ca);
    fs::remove_file(secret.root.join("tls.key")).unwrap();
    assert_starts_with(&secret, "TLS private key {}/tls.key: cannot be read: No such file");
}

fn assert_starts_with(secret: &Secret, expected: &str) {
    let tls = TlsOptions { client_ca_file: Some(secret.root.join("ca.crt")), ..secret.options() };
    let options = ServerOptions { tls: Some(tls), ..options() };
    let metrics = Metrics::register(&mut Registry::default());
    let error = start(Arc::new(Fake::default()), options, metrics, Arc::default()).unwrap_err().to_string();
    let expected = expected.replace("{}", &secret.root.display().to_string());
    assert!(error.starts_with(&expected), "{error}\nshould start with\n{expected}");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let authority = Authority::new();
    let secret = Secret::new("half-open", &authority.issue(), "");
    let options =
        ServerOptions { handshake_timeout: Duration::from_millis(200), tls: Some(secret.options()), ..options() };
    let served = serve(options);
    let mut stream = TcpStream::connect(served.running.address()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap().ok();
    assert_eq!(answer, b"", "closed without a word");
    assert!(ask(&served, &client(&authority, None)).await.is_ok());
}
