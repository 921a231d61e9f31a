//! Where on a fleet of MIG GPUs an instance should go: where it costs least of what the fleet can still take.
//!
//! Filling gaps is not enough when instances come and go: two GPUs with the same free slices are not worth the same if one
//! is soon empty again and the other is not. So each layout gets a value: what a GPU in that layout will earn, when
//! arrivals of the expected mix are offered to it at a price, compared with an empty one. The cost of a placement is the
//! value that the GPU loses. It is a look-up; the values are computed when the mix changes.
//!
//! [`SliceShapes`] is made once per product, [`SliceMix`] follows from what runs, [`SliceValues`] from both. All are
//! functions of their arguments: the same cluster gives the same values after a restart.

mod mean_field;
mod mix;
mod shapes;
mod steps;
mod values;

pub use mix::SliceMix;
pub use shapes::SliceShapes;
pub use values::SliceValues;
