//! Server-sent events, compressed once for all who listen.
//!
//! A response that is compressed as a whole would have to be compressed for every listener anew. Here each event is compressed
//! by itself, into blocks of deflate that refer to nothing before them and end on a byte (a full flush). Such pieces can be
//! put behind each other in any order, so what a listener gets is the header of gzip and then the same pieces as all others.

use actix_web::web::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// The header of a gzip stream: deflate, no name, no time, system unknown.
pub const GZIP_HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// An event in both forms.
#[derive(Debug, Clone)]
pub struct Event {
    /// Counts the events of an epoch.
    pub number: u64,
    /// As text.
    pub plain: Bytes,
    /// As a piece of a gzip stream.
    pub deflated: Bytes,
}

impl Event {
    /// An event with an id and data; data is one line.
    pub fn new(number: u64, id: &str, name: &str, data: &str) -> Self {
        Self::of(number, format!("id: {id}\nevent: {name}\ndata: {data}\n\n"))
    }

    /// A comment: it says that the connection is alive.
    pub fn heartbeat() -> Self {
        Self::of(0, ":\n\n".to_owned())
    }

    fn of(number: u64, mut text: String) -> Self {
        let mut deflated = deflate(text.as_bytes());
        // Events are kept for a while.
        text.shrink_to_fit();
        deflated.shrink_to_fit();
        Self { number, plain: text.into(), deflated: deflated.into() }
    }

    /// How much memory it takes.
    pub fn bytes(&self) -> usize {
        self.plain.len() + self.deflated.len()
    }
}

/// A piece of deflate that stands for itself and ends on a byte.
fn deflate(text: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::fast(), false);
    let mut piece = Vec::with_capacity(text.len() / 4 + 64);
    loop {
        let rest = &text[usize::try_from(compress.total_in()).expect("as long as the text at most")..];
        let status = compress.compress_vec(rest, &mut piece, FlushCompress::Full);
        // There is more to come while the piece is filled to the brim.
        if matches!(status, Ok(Status::Ok | Status::BufError)) && piece.len() == piece.capacity() {
            piece.reserve(piece.capacity());
            continue;
        }
        return piece;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn pieces_in_any_order_are_one_gzip_stream() {
        let long: String = (0..20_000).map(|at| format!("{at},")).collect();
        let events: Vec<Event> = ["a", &long, "c"].map(|data| Event::new(1, "e-1", "frame", data)).into();
        for order in [[0, 1, 2], [2, 0, 1], [1, 1, 0]] {
            let chosen = order.map(|at: usize| &events[at]);
            let stream: Vec<u8> =
                chosen.iter().fold(GZIP_HEADER.to_vec(), |sum, event| [&sum, &event.deflated[..]].concat());
            let expected: Vec<u8> = chosen.iter().flat_map(|event| event.plain.to_vec()).collect();
            // The stream has no end: nobody knows which event is the last.
            let mut read = vec![0; expected.len()];
            GzDecoder::new(&stream[..]).read_exact(&mut read).expect("a gzip stream");
            assert!(read == expected, "{order:?}");
        }
        assert!(events[1].deflated.len() < events[1].plain.len() / 2);
    }
}
