//! How `testudo serve` ends: for a while the API server goes on calling the webhook of a pod that is told to stop.

mod serving;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use serving::until;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Tells a server to stop, and says how long it took to end.
fn stop(mut server: serving::Server, meanwhile: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    assert!(Command::new("kill").arg(server.0.id().to_string()).status().unwrap().success());
    meanwhile();
    assert!(server.0.wait().unwrap().success());
    begun.elapsed()
}

/// The first line of the answer of the webhook.
fn review(address: &str, config: &Arc<ClientConfig>) -> std::io::Result<String> {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    let body = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "u", "object": {"metadata": {"name": "p"}, "spec": {"containers": []}}},
    });
    let body = body.to_string();
    let head = format!("POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
    write!(stream, "{head}Connection: close\r\n\r\n{body}")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[test]
fn the_webhook_is_served_for_a_while_after_everything_else() {
    let folder = folder("stopped-with-a-webhook");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = json!({"certFile": cert, "keyFile": key});
    let sections = json!({
        "extender": {"bindAddress": "127.0.0.1:0", "tls": tls},
        "webhook": {"bindAddress": "127.0.0.1:0"},
    });
    let (server, log) = serving::start(&folder, "", sections);
    let serving = until("the webhook to serve", &log, |line| line["message"] == "serving the admission webhook");
    let webhook = serving["address"].as_str().unwrap().to_owned();
    let extender = serving::address(&log);

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    assert_eq!(review(&webhook, &config).unwrap(), "HTTP/1.1 200 OK");
    let took = stop(server, || {
        sleep(Duration::from_secs(3));
        assert!(TcpStream::connect(&extender).is_err(), "the extender has ended");
        assert_eq!(review(&webhook, &config).unwrap(), "HTTP/1.1 200 OK");
    });
    assert!(took < Duration::from_secs(20), "a pod has 30 s to end: {took:?}");
    assert!(review(&webhook, &config).is_err());
}

#[test]
fn without_a_webhook_it_ends_at_once() {
    let (server, log) = serving::start(&folder("stopped-without-a-webhook"), "", json!({}));
    serving::address(&log);
    let took = stop(server, || ());
    assert!(took < Duration::from_secs(4), "{took:?}");
}
