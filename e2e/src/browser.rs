//! A headless Chromium, driven by the DevTools protocol: as much of it as the tests of the page need.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config, tungstenite};

use crate::process::Process;
use crate::wait::{Look, PATIENCE, until};
use crate::workdir::Workdir;

/// Under which names it is looked for on the `PATH`.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Within this a command has to be answered.
const ANSWER: Duration = Duration::from_secs(30);

/// A browser with one page. It ends when this is dropped.
pub struct Browser {
    commands: mpsc::Sender<(Value, oneshot::Sender<Value>)>,
    heard: Arc<Mutex<Heard>>,
    session: String,
    // Dropped in this order: the process before the folder that it writes to.
    _process: Process,
    _folder: Workdir,
}

/// What the page was heard to do.
#[derive(Debug, Default)]
struct Heard {
    complaints: Vec<String>,
    origins: BTreeSet<String>,
}

/// Where Chromium is.
pub fn chromium() -> Result<PathBuf> {
    let named = env::var_os("CHROMIUM").filter(|path| !path.is_empty()).map(PathBuf::from);
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let on_path = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    named.into_iter().chain(on_path).find(|path| path.is_file()).context(
        "there is no Chromium on the PATH: install it (Debian: apt-get install chromium), or name it in CHROMIUM",
    )
}

impl Browser {
    /// Starts a browser with an empty page of this size.
    pub async fn start(width: u32, height: u32) -> Result<Self> {
        let folder = Workdir::new()?;
        let profile = folder.file("profile");
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--remote-debugging-port=0",
            &format!("--user-data-dir={}", profile.display()),
            "about:blank",
        ];
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut process = Process::spawn("chromium", &chromium()?, &args, &[], &folder.file("chromium.log"))?;
        let address = until("Chromium to listen", PATIENCE, async || {
            process.check_running()?;
            let told = std::fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
            Ok(match told.split_once('\n') {
                Some((port, path)) => Look::Done(format!("ws://127.0.0.1:{port}{}", path.trim())),
                None => Look::NotYet("no port yet".to_owned()),
            })
        })
        .await?;
        // Screenshots are larger than what is taken for a message by default.
        let config = tungstenite::protocol::WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = connect_async_with_config(address, Some(config), true).await.context("no DevTools")?;
        let (commands, incoming) = mpsc::channel(16);
        let heard = Arc::new(Mutex::new(Heard::default()));
        tokio::spawn(converse(socket, incoming, Arc::clone(&heard)));
        let mut browser = Self { commands, heard, session: String::new(), _process: process, _folder: folder };
        let target = browser.command("Target.createTarget", json!({"url": "about:blank"})).await?;
        let attached =
            browser.command("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true})).await?;
        browser.session = attached["sessionId"].as_str().context("no session")?.to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.command(&format!("{domain}.enable"), json!({})).await?;
        }
        browser.resize(width, height).await?;
        Ok(browser)
    }

    async fn command(&self, method: &str, params: Value) -> Result<Value> {
        let mut command = json!({"method": method, "params": params});
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        let (sender, answer) = oneshot::channel();
        self.commands.send((command, sender)).await.context("Chromium is gone")?;
        let answer = timeout(ANSWER, answer).await.with_context(|| format!("{method} was not answered"))?;
        let mut answer = answer.context("Chromium is gone")?;
        match answer.get("error") {
            Some(error) => bail!("{method}: {error}"),
            None => Ok(answer["result"].take()),
        }
    }

    /// The size of the page, in pixels.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    /// What the page is told that its user prefers: `("prefers-color-scheme", "dark")`.
    pub async fn prefer(&self, features: &[(&str, &str)]) -> Result<()> {
        let features: Vec<Value> = features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.command("Emulation.setEmulatedMedia", json!({"features": features})).await.map(drop)
    }

    /// Goes to an address, and does not wait.
    pub async fn go(&self, url: &str) -> Result<()> {
        self.command("Page.navigate", json!({"url": url})).await.map(drop)
    }

    /// The value of an expression; of a promise what it becomes.
    pub async fn value(&self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.command("Runtime.evaluate", params).await?;
        match answer.get("exceptionDetails") {
            Some(details) => bail!("{expression}: {}", details["exception"]["description"]),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits until an expression is true, or anything but false, 0, "" and null; returns it.
    pub async fn until(&self, what: &str, expression: &str) -> Result<Value> {
        until(what, PATIENCE, async || {
            let value = self.value(expression).await?;
            let is_something = match &value {
                Value::Null => false,
                Value::Bool(is_so) => *is_so,
                Value::String(text) => !text.is_empty(),
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::Array(_) | Value::Object(_) => true,
            };
            Ok(if is_something { Look::Done(value) } else { Look::NotYet(value.to_string()) })
        })
        .await
    }

    /// Clicks in the middle of the first element that a selector finds, with a mouse.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let found = format!(
            "(() => {{ const element = document.querySelector({selector:?}); if (!element) return null; \
             element.scrollIntoView({{block: 'center'}}); const box = element.getBoundingClientRect(); \
             return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let at = self.until(&format!("{selector} to click on"), &found).await?;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.command("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Types a text where the focus is.
    pub async fn write(&self, text: &str) -> Result<()> {
        self.command("Input.insertText", json!({"text": text})).await.map(drop)
    }

    /// Presses a key: `Enter`, `ArrowDown`, `/`.
    pub async fn press(&self, key: &str) -> Result<()> {
        let code: BTreeMap<&str, u32> =
            [("Enter", 13), ("Tab", 9), ("Escape", 27), ("ArrowDown", 40), ("ArrowRight", 39)].into();
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key});
            if let Some(code) = code.get(key) {
                event["windowsVirtualKeyCode"] = json!(code);
            } else if kind == "keyDown" {
                event["text"] = json!(key);
            }
            self.command("Input.dispatchKeyEvent", event).await?;
        }
        Ok(())
    }

    /// What is told to those who do not look: role and name of all that can have the focus, in the order of the page.
    pub async fn focusable(&self) -> Result<Vec<(String, String)>> {
        let tree = self.command("Accessibility.getFullAXTree", json!({})).await?;
        let text = |node: &Value, field: &str| node[field]["value"].as_str().unwrap_or_default().to_owned();
        let can_focus = |node: &&Value| {
            let properties = node["properties"].as_array().into_iter().flatten();
            node["ignored"] != true
                && properties.into_iter().any(|own| own["name"] == "focusable" && own["value"]["value"] == true)
        };
        let nodes = tree["nodes"].as_array().context("no tree")?;
        Ok(nodes.iter().filter(can_focus).map(|node| (text(node, "role"), text(node, "name"))).collect())
    }

    /// Writes what is to be seen into a PNG file.
    pub async fn screenshot(&self, file: &Path) -> Result<()> {
        let picture = self.command("Page.captureScreenshot", json!({"format": "png"})).await?;
        let bytes = BASE64.decode(picture["data"].as_str().context("no picture")?).context("a picture in base64")?;
        std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
    }

    /// What has gone wrong in the page since this was last asked: errors on the console, exceptions, what its policy
    /// forbade.
    pub fn take_complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner).complaints)
    }

    /// From where the page has asked for anything.
    pub fn origins(&self) -> BTreeSet<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).origins.clone()
    }
}

/// Sends commands and hands out their answers; takes down what is heard in between.
async fn converse(
    mut socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    mut commands: mpsc::Receiver<(Value, oneshot::Sender<Value>)>,
    heard: Arc<Mutex<Heard>>,
) {
    let mut waiting: BTreeMap<u64, oneshot::Sender<Value>> = BTreeMap::new();
    let mut count = 0;
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some((mut command, answer)) = command else { return };
                count += 1;
                command["id"] = json!(count);
                waiting.insert(count, answer);
                if socket.send(Message::text(command.to_string())).await.is_err() {
                    return;
                }
            }
            message = socket.next() => {
                let Some(Ok(message)) = message else { return };
                let Ok(text) = message.to_text() else { continue };
                let Ok(message) = serde_json::from_str::<Value>(text) else { continue };
                match message["id"].as_u64().and_then(|id| waiting.remove(&id)) {
                    // Who asked may have given up.
                    Some(answer) => drop(answer.send(message)),
                    None => heard.lock().unwrap_or_else(PoisonError::into_inner).note(&message),
                }
            }
        }
    }
}

impl Heard {
    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.consoleAPICalled")
                if matches!(params["type"].as_str(), Some("error" | "warning" | "assert")) =>
            {
                self.complaints.push(format!("console: {}", params["args"]));
            }
            Some("Runtime.exceptionThrown") => {
                let details = &params["exceptionDetails"];
                self.complaints.push(format!("exception: {} {}", details["text"], details["exception"]["description"]));
            }
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.complaints.push(format!("log: {} {}", params["entry"]["text"], params["entry"]["url"]));
            }
            Some("Network.requestWillBeSent") => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                let origin = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
                if !url.starts_with("about:") {
                    self.origins.insert(origin);
                }
            }
            _ => {}
        }
    }
}
