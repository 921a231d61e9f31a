//! The command lines of the control plane's components.

use std::path::Path;

use anyhow::Result;

use crate::control_plane::{KWOK_LABEL, Options};
use crate::pki::{self, Authority};
use crate::ports::free_port;
use crate::workdir::Workdir;

const AUDIT_POLICY: &str = include_str!("../audit-policy.yaml");
const KWOK_STAGES: &str = include_str!("../kwok-stages.yaml");

/// `--name=value` from pairs: the form that every component here reads.
pub(crate) fn flags<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> Vec<String> {
    pairs.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

/// `--feature-gates` if there are any.
pub(crate) fn feature_gates(options: &Options) -> Option<(&'static str, String)> {
    let gates: Vec<String> = options.feature_gates.iter().map(|(name, on)| format!("{name}={on}")).collect();
    (!gates.is_empty()).then(|| ("feature-gates", gates.join(",")))
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

/// etcd, speaking plain HTTP at `url`.
pub(crate) fn etcd(dir: &Workdir, url: &str) -> Result<Vec<String>> {
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    let mut args = flags([
        ("name", "e2e".to_owned()),
        ("data-dir", show(&dir.file("etcd"))),
        ("listen-client-urls", url.to_owned()),
        ("advertise-client-urls", url.to_owned()),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer.clone()),
        ("initial-cluster", format!("e2e={peer}")),
        ("log-level", "warn".to_owned()),
    ]);
    // Nobody will want this data after a power cut.
    args.push("--unsafe-no-fsync".to_owned());
    Ok(args)
}

/// kube-apiserver at `port`, with RBAC as in a real cluster.
pub(crate) fn apiserver(
    dir: &Workdir,
    options: &Options,
    ca: &Authority,
    etcd: &str,
    port: u16,
) -> Result<Vec<String>> {
    let serving = ca.server(dir, "kube-apiserver")?;
    // Without an authority for aggregated requests the scheduler cannot read how to authenticate its own callers.
    let front_proxy = Authority::new(dir, "front-proxy-ca")?;
    let proxy = front_proxy.client(dir, "front-proxy-client", &[])?;
    let (public, private) = pki::service_account_key(dir)?;
    let audit_policy = dir.write("audit-policy.yaml", AUDIT_POLICY)?;
    let mut args = flags([
        ("etcd-servers", etcd.to_owned()),
        ("bind-address", "127.0.0.1".to_owned()),
        ("advertise-address", "127.0.0.1".to_owned()),
        ("secure-port", port.to_string()),
        // A loopback address must not become an endpoint of the kubernetes service, and nobody here looks for one.
        ("endpoint-reconciler-type", "none".to_owned()),
        ("service-cluster-ip-range", "10.0.0.0/24".to_owned()),
        ("tls-cert-file", show(&serving.cert)),
        ("tls-private-key-file", show(&serving.key)),
        ("client-ca-file", show(ca.cert())),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-account-key-file", show(&public)),
        ("service-account-signing-key-file", show(&private)),
        ("requestheader-client-ca-file", show(front_proxy.cert())),
        ("requestheader-allowed-names", "front-proxy-client".to_owned()),
        ("requestheader-username-headers", "X-Remote-User".to_owned()),
        ("requestheader-group-headers", "X-Remote-Group".to_owned()),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-".to_owned()),
        ("proxy-client-cert-file", show(&proxy.cert)),
        ("proxy-client-key-file", show(&proxy.key)),
        ("audit-policy-file", show(&audit_policy)),
        ("audit-log-path", show(&dir.file("audit.log"))),
        // It is read as a whole.
        ("audit-log-maxsize", "0".to_owned()),
        // Open watches are cut after this when the server is told to end; a restart is not to take a minute.
        ("shutdown-watch-termination-grace-period", "1s".to_owned()),
        ("profiling", "false".to_owned()),
    ]);
    args.extend(flags(feature_gates(options)));
    if !options.runtime_config.is_empty() {
        args.extend(flags([("runtime-config", options.runtime_config.join(","))]));
    }
    Ok(args)
}

/// kube-controller-manager with its usual controllers, each under its own service account.
pub(crate) fn controller_manager(
    dir: &Workdir,
    options: &Options,
    ca: &Authority,
    kubeconfig: &Path,
    port: u16,
) -> Result<Vec<String>> {
    let serving = ca.server(dir, "kube-controller-manager")?;
    let mut args = flags([
        ("kubeconfig", show(kubeconfig)),
        ("authentication-kubeconfig", show(kubeconfig)),
        ("authorization-kubeconfig", show(kubeconfig)),
        ("bind-address", "127.0.0.1".to_owned()),
        ("secure-port", port.to_string()),
        ("tls-cert-file", show(&serving.cert)),
        ("tls-private-key-file", show(&serving.key)),
        ("leader-elect", "false".to_owned()),
        ("use-service-account-credentials", "true".to_owned()),
        ("service-account-private-key-file", show(&dir.file("pki/service-account.key"))),
        ("root-ca-file", show(ca.cert())),
        ("cluster-signing-cert-file", show(ca.cert())),
        ("cluster-signing-key-file", show(&ca.files().key)),
        // The default of 20 requests a second makes the controllers' start, a token for each, take five seconds.
        ("kube-api-qps", "500".to_owned()),
        ("kube-api-burst", "1000".to_owned()),
        ("profiling", "false".to_owned()),
    ]);
    args.extend(flags(feature_gates(options)));
    Ok(args)
}

/// kwok, for the nodes that carry its label.
pub(crate) fn kwok(dir: &Workdir, kubeconfig: &Path, port: u16) -> Result<Vec<String>> {
    let stages = dir.write("kwok-stages.yaml", KWOK_STAGES)?;
    let (key, value) = KWOK_LABEL;
    Ok(flags([
        ("kubeconfig", show(kubeconfig)),
        ("config", show(&stages)),
        ("manage-nodes-with-label-selector", format!("{key}={value}")),
        ("node-lease-duration-seconds", "40".to_owned()),
        ("server-address", format!("127.0.0.1:{port}")),
    ]))
}
