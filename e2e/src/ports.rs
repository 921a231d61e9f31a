//! Free loopback ports for servers that do not tell which one they took.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Below what Linux gives to outgoing connections (32768 and up), so that no client takes a port between our look at
/// it and the server's bind.
const FIRST: u16 = 18_000;
const COUNT: u16 = 14_000;

/// A port that nothing listens on now and that this process has not handed out before.
///
/// Where the search starts depends on the process id: two test runs on one machine seldom look at the same port.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (u64::from(std::process::id()) * 97 % u64::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between {FIRST} and {}", FIRST + COUNT);
}
