//! Shares of GPUs, counted in thousandths.
//!
//! A node that offers [`RESOURCE`] has 1000 of them for each GPU. A pod asks for less than 1000, a share
//! of one GPU, or for a multiple of 1000, so many whole GPUs. Unlike replicas such shares are not interchangeable: which
//! GPU they are of decides what still fits, so the scheduler chooses it and says so in the annotation
//! [`INDEX_ANNOTATION`], as in the open-gpu-share scheme of the FGD paper (USENIX ATC'23).

use std::fmt;

/// The resource that counts thousandths of GPUs.
pub const RESOURCE: &str = "alibabacloud.com/gpu-milli";

/// Thousandths in a whole GPU.
pub const WHOLE: u16 = 1000;

/// Most GPUs of one node that can be shared this way; what a node claims to have beyond them is not used.
pub const MAX_SHARED_GPUS: usize = 64;

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

/// GPUs of a node by their index, ascending.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GpuIndices(Vec<u8>);

impl GpuIndices {
    /// Reads the annotation's form; none if it is malformed, names a GPU twice or one beyond [`MAX_SHARED_GPUS`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut indices = text.split('-').map(|index| index.parse().ok()).collect::<Option<Vec<u8>>>()?;
        indices.sort_unstable();
        let distinct = indices.windows(2).all(|pair| pair[0] != pair[1]);
        let in_range = indices.iter().all(|index| usize::from(*index) < MAX_SHARED_GPUS);
        (distinct && in_range).then_some(Self(indices))
    }

    /// The indices, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> {
        self.0.iter().copied().map(usize::from)
    }
}

impl FromIterator<usize> for GpuIndices {
    fn from_iter<I: IntoIterator<Item = usize>>(indices: I) -> Self {
        let mut indices: Vec<u8> = indices.into_iter().filter_map(|index| u8::try_from(index).ok()).collect();
        indices.sort_unstable();
        Self(indices)
    }
}

impl fmt::Display for GpuIndices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(u8::to_string).collect();
        f.write_str(&texts.join("-"))
    }
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
            assert_eq!(GpuIndices::parse(text).map(|indices| indices.to_string()).as_deref(), Some(text));
        }
        assert_eq!(GpuIndices::parse("7-1").map(|indices| indices.to_string()).as_deref(), Some("1-7"));
        for text in ["", "-", "1-", "1-1", "64", "-1", "a", "1,2"] {
            assert_eq!(GpuIndices::parse(text), None, "{text:?}");
        }
    }
}
