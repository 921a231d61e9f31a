//! A client that asks as kube-scheduler does: filter, prioritize, bind, over one connection each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A connection to testudo.
pub struct Client {
    server: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client that will connect when it asks.
    pub fn of(server: SocketAddr) -> Self {
        Self { server, stream: None }
    }

    /// Asks, and returns status and body.
    pub fn post(&mut self, verb: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let answer = self.ask(verb, body);
        if !matches!(answer, Ok((200, _))) {
            self.stream = None;
        }
        answer
    }

    fn ask(&mut self, verb: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.server).context("cannot connect")?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(Duration::from_secs(30)))?;
                self.stream.insert(BufReader::with_capacity(1 << 16, stream))
            }
        };
        let head = format!("POST /v1/{verb} HTTP/1.1\r\nHost: load\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(body)?;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let status = line.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("no status: {line:?}"))?;
        let mut length = 0;
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().context("no length")?;
            }
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer)?;
        Ok((status, answer))
    }
}

/// The body of filter for a pod on nodes, which are a JSON array.
pub fn filter_body(pod: &Value, nodes: &str) -> Vec<u8> {
    format!(r#"{{"Pod":{pod},"Nodes":null,"NodeNames":{nodes}}}"#).into_bytes()
}

/// The nodes that filter has left, as the JSON array that stands in its answer.
pub fn fitting(answer: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(answer).context("not UTF-8")?;
    let (_, rest) = text.split_once("\"NodeNames\":").context("no NodeNames")?;
    let end = rest.find(']').with_context(|| format!("no list of nodes: {}", &text[..text.len().min(200)]))?;
    Ok(&rest[..=end])
}

/// The node with the best score.
pub fn best(answer: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(answer).context("not UTF-8")?;
    let Some((before, _)) = text.split_once(",\"Score\":10}") else { bail!("no node has a 10") };
    let (_, host) = before.rsplit_once("\"Host\":").context("no host")?;
    Ok(host.trim_matches('"'))
}

/// The body of bind.
pub fn binding(pod: &Value, node: &str) -> Vec<u8> {
    let text = |field: &str| pod["metadata"][field].clone();
    let (name, namespace, uid) = (text("name"), text("namespace"), text("uid"));
    json!({"PodName": name, "PodNamespace": namespace, "PodUID": uid, "Node": node}).to_string().into_bytes()
}
