//! The testudo that is put under load.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use testudo_e2e::ports::free_port;
use testudo_e2e::testudo::binary;

/// A testudo; it ends when this is dropped.
pub struct Testudo {
    child: Child,
    pub address: SocketAddr,
    started: Instant,
}

impl Testudo {
    /// Starts one that follows this API server.
    pub fn start(api: SocketAddr) -> Result<Self> {
        let kubeconfig = std::env::temp_dir().join(format!("testudo-load-{}.yaml", std::process::id()));
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
             clusters: [{{name: c, cluster: {{server: \"http://{api}\"}}}}], users: [{{name: u, user: {{}}}}]}}"
        );
        std::fs::write(&kubeconfig, text).context("cannot write a kubeconfig")?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let child = Command::new(binary()?)
            .args([
                "serve",
                "--mode=enforce",
                "--leader-elect=false",
                "--web-bind-address=127.0.0.1:0",
                "--log-level=warn",
            ])
            .arg(format!("--bind-address={address}"))
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .stdin(Stdio::null())
            .spawn()
            .context("testudo does not start")?;
        Ok(Self { child, address, started: Instant::now() })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How long it took from the start until `/readyz` said yes.
    pub fn until_ready(&self) -> Result<Duration> {
        while self.started.elapsed() < Duration::from_secs(300) {
            if let Ok(mut stream) = TcpStream::connect(self.address) {
                let mut answer = String::new();
                stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n")?;
                let _ = stream.read_to_string(&mut answer);
                if answer.starts_with("HTTP/1.1 200") {
                    return Ok(self.started.elapsed());
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("testudo is not ready after five minutes")
    }
}

impl Drop for Testudo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
