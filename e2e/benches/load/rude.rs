//! Clients that behave badly, in ways of which each has an answer that is due to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How often those that send slowly send a byte.
const STEP: Duration = Duration::from_millis(200);
/// Longer than anything may take: 5 s for a head, and as long until a connection with an unread rest is cut off.
const PATIENCE: Duration = Duration::from_secs(12);
/// Whoever was sent away comes back after this.
const PAUSE: Duration = Duration::from_millis(250);

/// A way to behave, and what has to come of it.
pub struct Manners {
    pub name: &'static str,
    /// So many do it at a time.
    clients: usize,
    begin: &'static str,
    /// Fills up what is sent at once.
    filling: usize,
    then: Then,
    /// Status and a part of the text; without, the connection may also be closed in silence.
    status: u16,
    text: Option<&'static str>,
    /// Within this time, in ms.
    within: Range<u64>,
}

/// What is done after the beginning was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    AByteAtATime,
    /// Nothing more will be sent, and the answer is waited for.
    HalfClosed,
}

/// Bodies have 1 s to come, heads 5 s by a clock of half seconds, and what is too large is refused at once: the rest is what two
/// busy cores take. Far more are slow with their bodies than there are places for questions (64).
pub static ALL: [Manners; 7] = [
    Manners {
        name: "nothing sent",
        clients: 32,
        begin: "",
        filling: 0,
        then: Then::Nothing,
        status: 408,
        text: None,
        within: 4_400..8_000,
    },
    Manners {
        name: "a head that trickles",
        clients: 32,
        begin: "POST /v1/filter HTTP/1.1\r\nHost: l\r\nX-Slow: ",
        filling: 0,
        then: Then::AByteAtATime,
        status: 408,
        text: None,
        within: 4_400..8_000,
    },
    Manners {
        name: "a body that trickles",
        clients: 100,
        begin: "POST /v1/filter HTTP/1.1\r\nHost: l\r\nContent-Length: 1000\r\n\r\n{\"Pod\":",
        filling: 0,
        then: Then::AByteAtATime,
        status: 408,
        text: Some("the body did not arrive within 1s"),
        within: 900..3_000,
    },
    Manners {
        name: "a body that breaks off",
        clients: 32,
        begin: "POST /v1/filter HTTP/1.1\r\nHost: l\r\nContent-Length: 1000\r\n\r\n{\"Pod\":",
        filling: 0,
        then: Then::Nothing,
        status: 408,
        text: Some("the body did not arrive within 1s"),
        within: 900..3_000,
    },
    Manners {
        name: "half-closed in a body",
        clients: 16,
        begin: "POST /v1/filter HTTP/1.1\r\nHost: l\r\nContent-Length: 1000\r\n\r\n{\"Pod\":",
        filling: 0,
        then: Then::HalfClosed,
        status: 400,
        text: None,
        within: 0..2_000,
    },
    Manners {
        name: "a body of 1 GB announced",
        clients: 16,
        begin: "POST /v1/filter HTTP/1.1\r\nHost: l\r\nContent-Length: 1000000000\r\n\r\n",
        filling: 0,
        then: Then::AByteAtATime,
        status: 413,
        text: Some("the body has 1000000000 bytes, the limit is "),
        within: 0..2_000,
    },
    Manners {
        name: "a head of 1 MB",
        clients: 4,
        begin: "POST /v1/filter HTTP/1.1\r\nHost: l\r\nX-Large: ",
        filling: 1_000_000,
        then: Then::Nothing,
        status: 431,
        text: None,
        within: 0..2_000,
    },
];

/// What came of those who behaved so.
pub struct Outcome {
    pub manners: &'static Manners,
    visits: usize,
    /// What was not answered as it has to be.
    wrong: Vec<String>,
}

impl Outcome {
    pub fn print(&self) {
        let wrong =
            self.wrong.first().map(|first| format!(", {} of them not as it has to be: {first}", self.wrong.len()));
        println!("{:>25}: {} visits{}", self.manners.name, self.visits, wrong.unwrap_or_default());
    }

    /// Whether everybody has got his answer at least once, and never another.
    pub fn is_right(&self) -> bool {
        self.visits >= self.manners.clients && self.wrong.is_empty()
    }
}

/// Everybody behaves badly, over and over, as long as something else takes.
pub fn beside<T>(server: SocketAddr, what: impl FnOnce() -> Result<T>) -> Result<(T, Vec<Outcome>)> {
    let is_over = &AtomicBool::new(false);
    let behave = move |manners: &'static Manners| {
        let mut outcome = Outcome { manners, visits: 0, wrong: vec![] };
        while !is_over.load(Ordering::Relaxed) {
            let end = manners.visit(server);
            outcome.visits += 1;
            outcome.wrong.extend(end.err().map(|error| format!("{error:#}")));
            thread::sleep(PAUSE);
        }
        outcome
    };
    thread::scope(|scope| {
        let clients: Vec<_> = ALL
            .iter()
            .flat_map(|manners| (0..manners.clients).map(move |_| manners))
            .map(|manners| scope.spawn(move || behave(manners)))
            .collect();
        let result = what();
        is_over.store(true, Ordering::Relaxed);
        let mut all: Vec<Outcome> = vec![];
        for client in clients {
            let one = client.join().map_err(|_| anyhow::anyhow!("a rude client panicked"))?;
            match all.last_mut().filter(|last| std::ptr::eq(last.manners, one.manners)) {
                Some(last) => {
                    last.visits += one.visits;
                    last.wrong.extend(one.wrong);
                }
                None => all.push(one),
            }
        }
        Ok((result?, all))
    })
}

impl Manners {
    /// One connection, until the server closes it; an error where that or the answer is not what it has to be.
    fn visit(&self, server: SocketAddr) -> Result<()> {
        let mut stream = TcpStream::connect(server).context("cannot connect")?;
        stream.set_read_timeout(Some(STEP))?;
        let (started, mut answered, mut answer) = (Instant::now(), None, vec![]);
        // Whoever is cut off while he sends learns of it when he reads.
        let _ = stream.write_all(self.begin.as_bytes()).and_then(|()| stream.write_all(&vec![b'a'; self.filling]));
        if self.then == Then::HalfClosed {
            stream.shutdown(Shutdown::Write)?;
        }
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(bytes) => {
                    answered.get_or_insert(started.elapsed());
                    answer.extend_from_slice(&buffer[..bytes]);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    anyhow::ensure!(started.elapsed() < PATIENCE, "open after {PATIENCE:?}");
                    if self.then == Then::AByteAtATime {
                        let _ = stream.write_all(b"a");
                    }
                }
                Err(_) => break,
            }
        }
        let after = answered.unwrap_or_else(|| started.elapsed());
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split_whitespace().nth(1).and_then(|status| status.parse::<u16>().ok());
        let is_right = match self.text {
            Some(text) => status == Some(self.status) && answer.contains(text),
            None => status.is_none_or(|status| status == self.status),
        };
        anyhow::ensure!(is_right && self.within.contains(&(after.as_millis() as u64)), "after {after:.1?}: {answer:?}");
        Ok(())
    }
}
