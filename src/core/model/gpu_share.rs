//! Shares of GPUs, counted in thousandths.
//!
//! A node that offers [`RESOURCE`] has 1000 of them for each GPU. A pod asks for less than 1000, a share
//! of one GPU, or for a multiple of 1000, so many whole GPUs. Unlike replicas such shares are not interchangeable: which
//! GPU they are of decides what still fits, so the scheduler chooses it and says so in the annotation
//! [`INDEX_ANNOTATION`], as in the open-gpu-share scheme of the FGD paper (USENIX ATC'23).

use super::fabric::DeviceSet;

/// The resource that counts thousandths of GPUs.
pub const RESOURCE: &str = "alibabacloud.com/gpu-milli";

/// Thousandths in a whole GPU.
pub const WHOLE: u16 = 1000;

/// Most GPUs of one node that can be shared this way; what a node claims to have beyond them is not used.
pub const MAX_SHARED_GPUS: usize = 32;

/// The annotation that names the GPUs given to a pod, by index, joined by `-`: `3`, `0-1`.
pub const INDEX_ANNOTATION: &str = "alibabacloud.com/gpu-index";

/// What a pod wants of shareable GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShareRequest {
    /// Thousandths of one GPU, 1 to 999.
    Part(u16),
    /// So many whole GPUs, at least one.
    Whole(u8),
}

impl ShareRequest {
    /// Reads an amount of thousandths; none for 0 and less, and for amounts that are neither part of one GPU nor whole
    /// GPUs.
    pub fn of(thousandths: i64) -> Option<Self> {
        match thousandths {
            1..=999 => Some(Self::Part(thousandths as u16)),
            1000.. if thousandths % 1000 == 0 => u8::try_from(thousandths / 1000).ok().map(Self::Whole),
            _ => None,
        }
    }

    /// How many GPUs it is spread over.
    pub fn gpus(self) -> usize {
        match self {
            Self::Part(_) => 1,
            Self::Whole(gpus) => gpus.into(),
        }
    }

    /// How much it takes of each of them.
    pub fn of_each(self) -> u16 {
        match self {
            Self::Part(thousandths) => thousandths,
            Self::Whole(_) => WHOLE,
        }
    }
}

/// Reads the form of [`INDEX_ANNOTATION`]; none if it is malformed, names a GPU twice or one beyond [`MAX_SHARED_GPUS`].
pub fn parse_indices(text: &str) -> Option<DeviceSet> {
    text.split('-').try_fold(DeviceSet::EMPTY, |gpus, index| {
        let index = index.parse().ok().filter(|index| *index < MAX_SHARED_GPUS && !gpus.contains(*index))?;
        Some(gpus.with(index))
    })
}

/// Writes the form of [`INDEX_ANNOTATION`].
pub fn format_indices(gpus: DeviceSet) -> String {
    gpus.iter().map(|index| index.to_string()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_a_part_of_one_gpu_or_whole_gpus() {
        assert_eq!(ShareRequest::of(460), Some(ShareRequest::Part(460)));
        assert_eq!(ShareRequest::of(1000), Some(ShareRequest::Whole(1)));
        assert_eq!(ShareRequest::of(8000), Some(ShareRequest::Whole(8)));
        for amount in [0, -1, 1001, 1500, 256_000, i64::MAX] {
            assert_eq!(ShareRequest::of(amount), None, "{amount}");
        }
    }

    #[test]
    fn indices_read_back_as_written() {
        for text in ["0", "3", "0-1-7"] {
            assert_eq!(parse_indices(text).map(format_indices).as_deref(), Some(text));
        }
        assert_eq!(parse_indices("7-1").map(format_indices).as_deref(), Some("1-7"));
        for text in ["", "-", "1-", "1-1", "32", "-1", "a", "1,2"] {
            assert_eq!(parse_indices(text), None, "{text:?}");
        }
    }
}
