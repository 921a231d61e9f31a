//! Listening on an address: for the extender, for metrics, for the page.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// For the head of a request, the first one counted from the beginning of the connection.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

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
    let listener = TcpListener::bind(address);
    let listener = listener.and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    listener.map_err(|source| ListenError { address, source })
}
