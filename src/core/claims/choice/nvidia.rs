//! What NVIDIA's driver (`kubernetes-sigs/dra-driver-nvidia-gpu`) says of its devices by names and attributes.

use crate::claims::attribute::Attribute;
use crate::claims::slice::Device;
use crate::model::catalogue::Catalogue;
use crate::model::mig::{MigGeometry, Placement};
use crate::model::product::Product;

/// A text attribute in the driver's own domain.
fn text<'d>(device: &'d Device, driver: &str, name: &str) -> Option<&'d str> {
    let is_it = |known: &str| known.split_once('/').is_some_and(|known| known == (driver, name));
    let full = || device.attributes.iter().find(|(known, _)| is_it(known)).map(|(_, value)| value);
    match device.attributes.get(name).or_else(full)? {
        Attribute::String(text) => Some(text),
        _ => None,
    }
}

/// How the driver calls the product.
pub(super) fn product_name<'d>(driver: &str, device: &'d Device) -> Option<&'d str> {
    text(device, driver, "productName")
}

/// The product, if the catalogue knows it.
pub(in crate::claims) fn product<'c>(catalogue: &'c Catalogue, driver: &str, device: &Device) -> Option<&'c Product> {
    catalogue.product_by_driver_name(product_name(driver, device)?).map(|product| &**product)
}

/// Whether it is a MIG device.
pub(in crate::claims) fn is_mig(driver: &str, device: &Device) -> bool {
    text(device, driver, "type") == Some("mig")
}

/// Where a MIG device lies on its GPU: `gpu-0-mig-1g10gb-15-4` is an instance of GPU profile 15 from memory slice 4 on.
pub(in crate::claims) fn placement(geometry: &MigGeometry, driver: &str, device: &Device) -> Option<Placement> {
    let by_name = || {
        let mut parts = device.name.split_once("-mig-")?.1.rsplit('-');
        let (start, id) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        geometry.placement(geometry.profile_by_gi_id(id)?, start)
    };
    let by_attributes = || {
        let profile = geometry.profile_like_name(text(device, driver, "profile")?)?;
        geometry.placement(profile, first_slice(device)?)
    };
    by_name().or_else(by_attributes)
}

/// The first memory slice that it takes, of the counters `memory-slice-N`.
fn first_slice(device: &Device) -> Option<u8> {
    let counters = device.consumes.iter().flat_map(|set| set.counters.keys());
    counters.filter_map(|name| name.strip_prefix("memory-slice-")?.parse().ok()).min()
}

/// Its number on the machine: 3 of `gpu-3`.
pub(in crate::claims) fn index(device: &Device) -> Option<usize> {
    device.name.strip_prefix("gpu-")?.parse().ok()
}

/// The PCIe root that it hangs on.
pub(in crate::claims) fn pcie_root(device: &Device) -> Option<&str> {
    match device.attributes.get("resource.kubernetes.io/pcieRoot")? {
        Attribute::String(root) => Some(root),
        _ => None,
    }
}

/// Its NUMA node.
pub(in crate::claims) fn numa(device: &Device) -> Option<u8> {
    match device.attributes.get("resource.kubernetes.io/numaNode")? {
        Attribute::Int(node) => u8::try_from(*node).ok(),
        _ => None,
    }
}

/// The Fabric Manager partitions of so many GPUs that devices of a driver are in.
pub(super) fn partitions<'d>(driver: &str, size: usize) -> impl Fn(&'d Device) -> Option<&'d Attribute> {
    let name = format!("partition{size}");
    let qualified = format!("{driver}/{name}");
    move |device| device.attributes.get(name.as_str()).or_else(|| device.attributes.get(qualified.as_str()))
}
