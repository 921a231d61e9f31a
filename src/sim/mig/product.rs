//! Products by the names that people and nodes have for them.

use std::sync::Arc;

use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::mig::MigGeometry;
use thiserror::Error;

/// A product on which nothing can be simulated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProductError {
    /// The catalogue does not know it.
    #[error("there is no product {name:?} in the catalogue; with MIG there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What could have been.
        known: String,
    },
    /// It has no MIG.
    #[error("product {name:?} cannot be cut into MIG instances; these can: {known}")]
    Whole {
        /// What was asked for.
        name: String,
        /// What could have been.
        known: String,
    },
}

/// What a product can be cut into, by the name of its MIG family (`A100-40GB`), by its own (`A100-SXM4-40GB`) or as the
/// label of a node spells it (`NVIDIA-A100-SXM4-40GB`). Upper and lower case are the same.
///
/// # Errors
/// When no product with MIG has that name; the error lists those that there are.
pub fn product(catalogue: &Catalogue, name: &str) -> Result<Arc<MigGeometry>, ProductError> {
    let family = catalogue.geometries().find(|geometry| geometry.name().eq_ignore_ascii_case(name));
    if let Some(family) = family {
        return Ok(Arc::clone(family));
    }
    let (name, known) = (name.to_owned(), known(catalogue));
    match catalogue.product(&name) {
        Some(found) => found.product.mig().cloned().ok_or(ProductError::Whole { name, known }),
        None => Err(ProductError::Unknown { name, known }),
    }
}

/// The families, and beside each the products that are called otherwise.
pub fn known(catalogue: &Catalogue) -> String {
    let of = |geometry: &MigGeometry| -> String {
        let products = catalogue.products().filter(|product| product.mig().is_some_and(|mig| **mig == *geometry));
        let names: Vec<&str> = products.map(|product| product.name.as_str()).collect();
        let family = geometry.name();
        if names.is_empty() || names == [family] {
            family.to_owned()
        } else {
            format!("{family} ({})", names.join(", "))
        }
    };
    catalogue.geometries().map(|geometry| of(geometry)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_products_and_labels_name_a_geometry() {
        let catalogue = Catalogue::builtin();
        for (name, family) in [
            ("A100-40GB", "A100-40GB"),
            ("a100-80gb", "A100-80GB"),
            ("H100-80GB", "H100-80GB"),
            ("A30", "A30-24GB"),
            ("A30-24GB", "A30-24GB"),
            ("NVIDIA-A100-SXM4-40GB", "A100-40GB"),
            ("NVIDIA-H100-80GB-HBM3-SHARED", "H100-80GB"),
            ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "A100-80GB"),
        ] {
            assert_eq!(product(&catalogue, name).map(|found| found.name().to_owned()), Ok(family.to_owned()), "{name}");
        }
    }

    #[test]
    fn other_names_are_refused_with_those_that_there_are() {
        let catalogue = Catalogue::builtin();
        let said = |name: &str| product(&catalogue, name).expect_err(name).to_string();
        for name in ["A200", ""] {
            let said = said(name);
            assert!(said.starts_with(&format!("there is no product {name:?} in the catalogue; with MIG ")), "{said}");
            assert!(said.contains("A100-40GB (A100-PCIE-40GB, A100-SXM4-40GB), "), "{said}");
            assert!(said.contains("A30-24GB (A30)") && said.contains("B300, "), "{said}");
        }
        assert!(said("NVIDIA-L4").starts_with("product \"NVIDIA-L4\" cannot be cut into MIG instances; these can: "));
    }
}
