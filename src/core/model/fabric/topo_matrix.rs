//! The matrix that `nvidia-smi topo -m` prints, read into a fabric.
//!
//! The text comes from people and terminals: tabs or blanks, ANSI underlines in the header, lines wrapped anywhere,
//! rows that stop early, NIC columns, none or several affinity columns. So it is read as one stream of words: a
//! device name followed by a link begins a row, and whatever follows the links of a row is its affinity.

use petgraph::graph::{NodeIndex, UnGraph};
use thiserror::Error;

use super::{Bandwidth, Device, Fabric, Link, LinkKind, MAX_DEVICES, PciePath, Routing};

/// What one NVLink carries from Volta to Hopper (12 of them 600 GB/s, 18 of them 900).
const NVLINK_GBPS: Bandwidth = Bandwidth(50);

/// A text that is no topology matrix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TopoError {
    /// No line of the text names GPU columns.
    #[error("no header with GPU columns found: is this the output of `nvidia-smi topo -m`?")]
    NoHeader,
    /// A device is named twice in the header, or has two rows.
    #[error("{0} appears twice")]
    Twice(String),
    /// A GPU of the header has no row.
    #[error("{0} has a column but no row")]
    NoRow(String),
    /// A row begins with a GPU that the header does not name.
    #[error("{0} has a row but no column")]
    NoColumn(String),
    /// Neither row says how two GPUs are connected.
    #[error("the link between {0} and {1} is missing")]
    NoLink(String, String),
    /// The two rows contradict each other.
    #[error("{0} and {1} are connected by {2} in one row and by {3} in the other")]
    Asymmetric(String, String, String, String),
    /// The cell of a GPU with itself is not `X`, or another one is.
    #[error("{0} and {1}: X must stand on the diagonal, and only there")]
    Diagonal(String, String),
    /// More GPUs than a fabric can have.
    #[error("{0} GPUs: at most {MAX_DEVICES} are supported")]
    TooMany(usize),
}

/// One cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Itself,
    Linked(LinkKind),
}

impl Cell {
    fn parse(word: &str) -> Option<Cell> {
        let path = |path| Some(Cell::Linked(LinkKind::Pcie(path)));
        match word {
            "X" => Some(Cell::Itself),
            "PIX" => path(PciePath::Pix),
            "PXB" => path(PciePath::Pxb),
            "PHB" => path(PciePath::Phb),
            "NODE" => path(PciePath::Node),
            // Drivers before 384 wrote SOC.
            "SYS" | "SOC" => path(PciePath::Sys),
            _ => {
                let links = word.strip_prefix("NV")?.parse().ok().filter(|&links: &u8| links > 0)?;
                Some(Cell::Linked(LinkKind::NvLink { links }))
            }
        }
    }

    fn name(self) -> String {
        match self {
            Cell::Itself => "X".to_owned(),
            Cell::Linked(LinkKind::NvLink { links }) => format!("NV{links}"),
            Cell::Linked(LinkKind::Pcie(path)) => format!("{path:?}").to_uppercase(),
            Cell::Linked(other) => format!("{other:?}"),
        }
    }
}

/// The words of a row behind its name.
#[derive(Default)]
struct Row {
    cells: Vec<Cell>,
    affinity: Vec<String>,
}

impl Row {
    /// The NUMA node, if the row names exactly one. The CPU affinity comes before it.
    fn numa(&self) -> Option<u8> {
        self.affinity.get(1)?.parse().ok()
    }
}

impl Fabric {
    /// Reads the output of `nvidia-smi topo -m`, with 50 GB/s for each NVLink (Volta to Hopper).
    ///
    /// # Errors
    /// When the text is no such matrix, or contradicts itself.
    pub fn from_topo_matrix(text: &str) -> Result<Fabric, TopoError> {
        Fabric::from_topo_matrix_at(text, NVLINK_GBPS)
    }

    /// As [`Fabric::from_topo_matrix`], with another bandwidth for each NVLink (Blackwell: 100 GB/s).
    ///
    /// # Errors
    /// As there.
    pub fn from_topo_matrix_at(text: &str, per_link: Bandwidth) -> Result<Fabric, TopoError> {
        let plain = without_escapes(text);
        let body = plain.split("Legend:").next().unwrap_or_default();
        // The header begins in the first line that names a GPU, with a NIC if one stands before it.
        let lines = body.lines().skip_while(|line| !line.split_whitespace().any(is_gpu));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        let is_row = |at: usize| is_device(words[at]) && words.get(at + 1).is_some_and(|w| Cell::parse(w).is_some());

        let first_gpu = words.iter().position(|word| is_gpu(word)).ok_or(TopoError::NoHeader)?;
        let header_at = if words[..first_gpu].iter().all(|word| is_device(word)) { 0 } else { first_gpu };
        let rows_at = (header_at..words.len()).find(|&at| is_row(at)).ok_or(TopoError::NoHeader)?;
        let columns: Vec<&str> = words[header_at..rows_at].iter().copied().take_while(|word| is_device(word)).collect();
        let gpus: Vec<&str> = columns.iter().copied().filter(|name| is_gpu(name)).collect();
        if gpus.is_empty() {
            return Err(TopoError::NoHeader);
        }
        if gpus.len() > MAX_DEVICES {
            return Err(TopoError::TooMany(gpus.len()));
        }
        for (at, name) in columns.iter().enumerate() {
            if columns[..at].contains(name) {
                return Err(TopoError::Twice((*name).to_owned()));
            }
        }

        let mut rows: Vec<Option<Row>> = gpus.iter().map(|_| None).collect();
        let mut at = rows_at;
        while at < words.len() {
            let name = words[at];
            let end = (at + 1..words.len()).find(|&next| is_row(next)).unwrap_or(words.len());
            if is_gpu(name) {
                let gpu = gpus.iter().position(|gpu| *gpu == name);
                let slot = &mut rows[gpu.ok_or_else(|| TopoError::NoColumn(name.to_owned()))?];
                if slot.replace(row(&words[at + 1..end], columns.len())).is_some() {
                    return Err(TopoError::Twice(name.to_owned()));
                }
            }
            at = end;
        }
        let rows =
            rows.into_iter().zip(&gpus).map(|(row, name)| row.ok_or_else(|| TopoError::NoRow((*name).to_owned())));
        let rows = rows.collect::<Result<Vec<Row>, TopoError>>()?;
        let column = |gpu: usize| columns.iter().position(|name| *name == gpus[gpu]).unwrap_or(columns.len());
        let cell = |row: usize, gpu: usize| rows[row].cells.get(column(gpu)).copied();

        let mut graph = UnGraph::with_capacity(gpus.len(), gpus.len() * gpus.len() / 2);
        for row in &rows {
            graph.add_node(Device { numa: row.numa(), pcie_root: None });
        }
        for a in 0..gpus.len() {
            for b in a..gpus.len() {
                let names = || (gpus[a].to_owned(), gpus[b].to_owned());
                let kind = match (cell(a, b), cell(b, a)) {
                    (Some(one), Some(other)) if one != other => {
                        let (first, second) = names();
                        return Err(TopoError::Asymmetric(first, second, one.name(), other.name()));
                    }
                    (Some(cell), _) | (None, Some(cell)) => cell,
                    (None, None) if a == b => Cell::Itself,
                    (None, None) => {
                        let (first, second) = names();
                        return Err(TopoError::NoLink(first, second));
                    }
                };
                match kind {
                    Cell::Itself if a == b => {}
                    Cell::Linked(kind) if a != b => {
                        graph.add_edge(NodeIndex::new(a), NodeIndex::new(b), link(kind, per_link));
                    }
                    Cell::Itself | Cell::Linked(_) => {
                        let (first, second) = names();
                        return Err(TopoError::Diagonal(first, second));
                    }
                }
            }
        }
        Ok(Fabric::new(graph, Routing::Direct))
    }
}

fn row(words: &[&str], columns: usize) -> Row {
    let cells: Vec<Cell> = words.iter().take(columns).map_while(|word| Cell::parse(word)).collect();
    let affinity = words[cells.len()..].iter().map(|word| (*word).to_owned()).collect();
    Row { cells, affinity }
}

fn link(kind: LinkKind, per_link: Bandwidth) -> Link {
    let bandwidth = match kind {
        LinkKind::Pcie(path) => path.bandwidth(),
        LinkKind::NvLink { links } => Bandwidth(per_link.0.saturating_mul(u32::from(links))),
        LinkKind::NvSwitch | LinkKind::NeuronLink => per_link,
    };
    Link { kind, bandwidth }
}

fn is_gpu(word: &str) -> bool {
    word.strip_prefix("GPU").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// A GPU, or a NIC by number (`NIC0`) or by device name (`mlx5_0`, `mlx5_bond_0`, `rdmap16s27`, `efa_0`).
fn is_device(word: &str) -> bool {
    let first = word.bytes().next();
    is_gpu(word)
        || (word.starts_with("NIC") || first.is_some_and(|b| b.is_ascii_lowercase()))
            && word.ends_with(|c: char| c.is_ascii_digit())
}

/// The text without ANSI escape sequences (`ESC [ ... letter`).
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
        } else if chars.next() == Some('[') {
            // Parameters, then one letter that ends the sequence.
            let _ = chars.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    plain
}

#[cfg(test)]
#[path = "topo_matrix_tests.rs"]
mod tests;
