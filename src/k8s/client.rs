//! The way to a cluster: kubeconfig, or the service account of the pod that we run in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

/// Who we are to the API server.
const USER_AGENT: &str = concat!("testudo/", env!("CARGO_PKG_VERSION"));

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than a watch call stays open: see `watch::WATCH_SECONDS`.
const READ_TIMEOUT: Duration = Duration::from_secs(150);

const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Which cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
}

impl Access {
    /// Is it the cluster in which we run as a pod?
    pub fn is_own_cluster(&self) -> bool {
        self.kubeconfig.is_none() && self.context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
    }
}

/// Who asks again where the API server answers that it is too busy (429), or not there just now (503, 504).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retries {
    /// The client, up to 15 times, which can take minutes and shows nowhere: for commands that ask once.
    ByClient,
    /// Whoever asks, since he knows for how long the answer is of use. No write of a leader may go out long after he
    /// looked at the clock, and a watch that fails must show that.
    ByCaller,
}

/// Why there is no way to the cluster, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file that was named does not serve.
    #[error("kubeconfig {}: {error}; give another one with --kubeconfig", path.display())]
    Named {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KubeconfigError,
    },
    /// The named context is not there, or what it refers to is not.
    #[error("kubeconfig {}, context {context:?}: {error}; it has {}", path.display(), list(known))]
    Context {
        /// The file.
        path: PathBuf,
        /// The context that was asked for.
        context: String,
        /// The contexts that the file has.
        known: Vec<String>,
        /// What is wrong with it.
        error: KubeconfigError,
    },
    /// No file was named, and the usual ones do not serve.
    #[error(
        "no cluster: {error} (looked at $KUBECONFIG, then ~/.kube/config); name a file with --kubeconfig, or run in a pod"
    )]
    Usual {
        /// What is wrong.
        error: KubeconfigError,
    },
    /// We run in a pod, but its service account does not serve.
    #[error(
        "service account of this pod: {0}; does the pod mount its token (automountServiceAccountToken)? Otherwise give \
         --kubeconfig"
    )]
    InCluster(#[from] InClusterError),
    /// What the configuration says cannot be used.
    #[error("client for {cluster}: {error}")]
    Client {
        /// Address of the API server.
        cluster: String,
        /// What is wrong.
        error: Box<kube::Error>,
    },
}

/// A client for the cluster. Without a file or a context that is the cluster we run in, else what `$KUBECONFIG` or
/// `~/.kube/config` say. Nothing is sent yet.
pub async fn connect(access: &Access, retries: Retries) -> Result<Client, AccessError> {
    let mut config = config(access).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.reset_reader_on_write = true;
    config.default_retry = retries == Retries::ByClient;
    if let (Ok(name), Ok(value)) = ("user-agent".parse(), USER_AGENT.parse()) {
        config.headers.push((name, value));
    }
    let cluster = config.cluster_url.to_string();
    Client::try_from(config).map_err(|error| AccessError::Client { cluster, error: Box::new(error) })
}

/// Does the API server not let us do what was asked for?
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

async fn config(access: &Access) -> Result<Config, AccessError> {
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &access.kubeconfig {
        return from_file(path, &options).await;
    }
    if access.is_own_cluster() {
        return Ok(Config::incluster()?);
    }
    Config::from_kubeconfig(&options).await.map_err(|error| AccessError::Usual { error })
}

async fn from_file(path: &Path, options: &KubeConfigOptions) -> Result<Config, AccessError> {
    let named = |error| AccessError::Named { path: path.into(), error };
    let file = Kubeconfig::read_from(path).map_err(named)?;
    let known = file.contexts.iter().map(|context| context.name.clone()).collect();
    Config::from_custom_kubeconfig(file, options).await.map_err(|error| match &options.context {
        Some(context) => AccessError::Context { path: path.into(), context: context.clone(), known, error },
        None => named(error),
    })
}

fn list(known: &[String]) -> String {
    if known.is_empty() { "no contexts".into() } else { format!("the contexts {}", known.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    /// A kubeconfig of this name in the folder for temporary files.
    fn kubeconfig(name: &str, server: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("testudo-{}-{name}.yaml", std::process::id()));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
             clusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\nusers: [{{name: u, user: {{}}}}]\n\
             contexts:\n- {{name: here, context: {{cluster: c, user: u}}}}\n\
             - {{name: there, context: {{cluster: lost, user: u}}}}\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn refusal(kubeconfig: PathBuf, context: Option<&str>) -> String {
        let access = Access { kubeconfig: Some(kubeconfig), context: context.map(Into::into) };
        connect(&access, Retries::ByClient).await.err().expect("no way to a cluster").to_string()
    }

    #[tokio::test]
    async fn errors_name_the_file_and_what_to_do() {
        let missing = refusal("no-such-kubeconfig".into(), None).await;
        assert!(missing.starts_with("kubeconfig no-such-kubeconfig: "), "{missing}");
        assert!(missing.contains("No such file") && missing.ends_with("with --kubeconfig"), "{missing}");
        let path = kubeconfig("errors", "http://127.0.0.1:1");
        let unknown = refusal(path.clone(), Some("elsewhere")).await;
        assert!(unknown.contains("context \"elsewhere\"") && unknown.ends_with("contexts here, there"), "{unknown}");
        assert!(refusal(path.clone(), Some("there")).await.contains("lost"), "the cluster of the context");
        std::fs::write(&path, "clusters: 7").unwrap();
        let malformed = refusal(path.clone(), None).await;
        assert!(malformed.starts_with(&format!("kubeconfig {}", path.display())), "{malformed}");
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn says_who_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let path = kubeconfig("agent", &format!("http://{}", listener.local_addr().unwrap()));
        let server = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let lines = BufReader::new(connection.try_clone().unwrap()).lines().map(Result::unwrap);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            connection.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").unwrap();
            head
        });
        let client =
            connect(&Access { kubeconfig: Some(path.clone()), context: None }, Retries::ByClient).await.unwrap();
        assert!(client.apiserver_version().await.is_err());
        let head = server.join().unwrap();
        let agent = format!("user-agent: testudo/{}", env!("CARGO_PKG_VERSION"));
        assert!(head.iter().any(|line| line.to_lowercase() == agent), "{head:?}");
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn who_asks_again_himself_hears_of_each_refusal() {
        for status in ["429 Too Many Requests", "503 Service Unavailable", "504 Gateway Timeout"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let path = kubeconfig("retries", &format!("http://{}", listener.local_addr().unwrap()));
            let server = std::thread::spawn(move || {
                let (mut connection, _) = listener.accept().unwrap();
                let lines = BufReader::new(connection.try_clone().unwrap()).lines().map(Result::unwrap);
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                connection.write_all(answer.as_bytes()).unwrap();
                // Whoever asks again finds nobody.
            });
            let access = Access { kubeconfig: Some(path.clone()), context: None };
            let client = connect(&access, Retries::ByCaller).await.unwrap();
            let error = client.apiserver_version().await.expect_err("refused");
            server.join().unwrap();
            let code: u16 = status[..3].parse().unwrap();
            assert!(matches!(&error, kube::Error::Api(answer) if answer.code == code), "{status}: {error:?}");
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_claim_that_was_read_counts_until_a_dead_watch_is_noticed() {
        let unwatched = Duration::from_millis(testudo_core::engine::ClaimPolicy::default().unwatched_ms);
        assert!(unwatched > READ_TIMEOUT + super::super::watch::LONGEST_PAUSE);
    }
}
