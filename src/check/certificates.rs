//! Do testudo and kube-scheduler trust each other, and for how long?

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, RootCertStore};

use super::Finding;
use super::cluster::{Installed, TlsSecret};

const ABOUT: &str = "certificates";

/// A certificate should last for so long yet.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Whose certificate it is.
#[derive(Debug, Clone, Copy)]
enum Side<'a> {
    /// testudo's, reached by this name.
    Server(&'a str),
    /// kube-scheduler's.
    Client,
}

pub fn findings(installed: &Installed) -> Vec<Finding> {
    let host = format!("{}.{}.svc", installed.release, installed.namespace);
    let (server, client) = match (&installed.server_tls, &installed.client_tls) {
        (Ok(server), Ok(client)) => (server, client),
        (Err(why), _) | (_, Err(why)) => {
            let advice = "needs get on secrets in the namespace; with names of yours, see tls.secrets";
            return vec![Finding::unknown(ABOUT, why.clone(), advice)];
        }
    };
    // Each is judged by the authority that the other has.
    vec![
        finding("testudo's", server, client, Side::Server(&host), installed.now),
        finding("kube-scheduler's", client, server, Side::Client, installed.now),
    ]
}

fn finding(whose: &str, own: &TlsSecret, other: &TlsSecret, side: Side<'_>, now: UnixTime) -> Finding {
    let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + SOON);
    let name = &own.name;
    let renew = "cert-manager renews by itself; tls.method helm renews with helm upgrade";
    match (verify(own, &other.authority, side, now), verify(own, &other.authority, side, later)) {
        (Ok(()), Ok(())) => Finding::ok(ABOUT, format!("{whose} ({name}) is trusted, and lasts for 30 days and more")),
        (Ok(()), Err(_)) => Finding::warning(ABOUT, format!("{whose} ({name}) ends within 30 days"), renew),
        (Err(Error::InvalidCertificate(error)), _) => {
            let (what, advice) = match (error, side) {
                (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
                    ("has ended".to_owned(), renew)
                }
                (
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                    Side::Server(host),
                ) => (format!("is not for {host}"), "make it for that name: kube-scheduler calls testudo by it"),
                // The second where both authorities have one name.
                (CertificateError::UnknownIssuer | CertificateError::BadSignature, _) => {
                    ("is not of the authority that the other side trusts".to_owned(), "make both of one authority")
                }
                (error, _) => (format!("is refused: {error}"), "make both anew"),
            };
            Finding::failed(ABOUT, format!("{whose} ({name}) {what}"), advice)
        }
        (Err(error), _) => {
            Finding::failed(ABOUT, format!("{whose} ({name}): {error}"), "it must be PEM, as ca.crt and tls.crt")
        }
    }
}

/// Would the other side accept it at this time?
fn verify(own: &TlsSecret, authority: &[u8], side: Side<'_>, at: UnixTime) -> Result<(), Error> {
    let chain = certificates(&own.certificate)?;
    let (end, between) = chain.split_first().ok_or_else(|| Error::General("no certificate".into()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate)?;
    }
    let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
    let unusable = |error: rustls::server::VerifierBuilderError| Error::General(error.to_string());
    match side {
        Side::Server(host) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(unusable)?;
            let host = ServerName::try_from(host.to_owned()).map_err(|error| Error::General(error.to_string()))?;
            verifier.verify_server_cert(end, between, &host, &[], at).map(drop)
        }
        Side::Client => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().map_err(unusable)?;
            verifier.verify_client_cert(end, between, at).map(drop)
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| Error::General(error.to_string()))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

    use super::super::Status;
    use super::*;

    struct Authority {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    fn secret(name: &str, of: &Authority, trusts: &Authority, host: &str, usage: ExtendedKeyUsagePurpose) -> TlsSecret {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2027, 1, 1));
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &of.issuer).unwrap().pem();
        TlsSecret {
            name: name.into(),
            authority: trusts.pem.clone().into_bytes(),
            certificate: certificate.into_bytes(),
        }
    }

    /// 1 January 2026, and so many days.
    fn day(days: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600 + days * 86_400))
    }

    #[test]
    fn who_trusts_whom_and_until_when() {
        let (ours, other) = (authority(), authority());
        let server = |of: &Authority, host: &str| secret("s", of, of, host, ExtendedKeyUsagePurpose::ServerAuth);
        let client = |of: &Authority| secret("c", of, of, "scheduler", ExtendedKeyUsagePurpose::ClientAuth);
        let look = |own: &TlsSecret, by: &TlsSecret, side, days| {
            let finding = finding("its", own, by, side, day(days));
            (finding.status, finding.what)
        };
        let host = Side::Server("testudo.ns.svc");
        let (good, scheduler) = (server(&ours, "testudo.ns.svc"), client(&ours));
        assert_eq!(look(&good, &scheduler, host, 10).0, Status::Ok);
        assert_eq!(look(&scheduler, &good, Side::Client, 10).0, Status::Ok);
        assert_eq!(look(&good, &scheduler, host, 340).0, Status::Warning);
        let (status, what) = look(&good, &scheduler, host, 366);
        assert!(status == Status::Failed && what.ends_with("has ended"), "{what}");
        let (status, what) = look(&server(&ours, "elsewhere"), &scheduler, host, 10);
        assert!(status == Status::Failed && what.ends_with("is not for testudo.ns.svc"), "{what}");
        let (status, what) = look(&server(&other, "testudo.ns.svc"), &scheduler, host, 10);
        assert!(status == Status::Failed && what.contains("not of the authority"), "{what}");
        let broken = TlsSecret { certificate: b"nothing".to_vec(), ..client(&ours) };
        assert_eq!(look(&broken, &good, Side::Client, 10).0, Status::Failed);
    }
}
