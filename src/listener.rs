//! Listening on an address: for the extender, for metrics, for the page.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[cfg(target_os = "linux")]
use socket2::SockRef;

/// For the head of a request, the first one counted from the beginning of the connection.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection ends when its client has taken nothing of what was sent for so long: an answer that nobody reads, or a network
/// that is gone. `TCP_USER_TIMEOUT` of tcp(7).
#[cfg(target_os = "linux")]
const UNREAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; is another process using it?")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// Listens, and says on which address: port 0 takes a free one.
///
/// # Errors
/// When the system does not allow it.
pub fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let listener = || {
        let listener = TcpListener::bind(address)?;
        // Connections have it from what they were accepted by. Other systems have no such limit.
        #[cfg(target_os = "linux")]
        SockRef::from(&listener).set_tcp_user_timeout(Some(UNREAD_TIMEOUT))?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listener().map_err(|source| ListenError { address, source })
}

/// Counts the requests that are worked on or wait for it, up to a limit.
#[derive(Debug)]
pub struct Admission {
    admitted: AtomicUsize,
    limit: usize,
}

impl Admission {
    /// Lets so many in at a time.
    pub fn up_to(limit: usize) -> Self {
        Self { admitted: AtomicUsize::new(0), limit }
    }

    /// How many may be in at a time.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether as many are in as there may be.
    pub fn is_full(&self) -> bool {
        self.admitted.load(Ordering::Relaxed) >= self.limit
    }

    /// Lets one more in, until what is returned is dropped; nothing where there are as many as there may be.
    pub fn admit(&self) -> Option<Admitted<'_>> {
        let one_more = |admitted| (admitted < self.limit).then_some(admitted + 1);
        self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Admitted(self))
    }
}

/// A request that was let in.
#[derive(Debug)]
pub struct Admitted<'a>(&'a Admission);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}
