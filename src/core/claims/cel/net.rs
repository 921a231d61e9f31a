//! IP addresses and networks, as `net/netip` of Go and the libraries `kubernetes.net.ip` and `.cidr` see them.

use core::net::{IpAddr, Ipv4Addr};

use super::code::Function;
use super::fault::{Eval, Fault};
use super::functions::none;
use super::value::Value;

/// A network: an address, which may have bits beyond the mask, and the length of the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u8,
}

/// The function of a name that is about addresses, if it is one.
pub(super) fn named(name: &str) -> Option<Function> {
    Some(match name {
        "ip" => |args| match args {
            [Value::String(text)] => parse(text).map(Value::Ip),
            [Value::Cidr(network)] => Ok(Value::Ip(network.address)),
            args => none("ip", args),
        },
        "isIP" => |args| match args {
            [Value::String(text)] => Ok(Value::Bool(parse(text).is_ok())),
            args => none("isIP", args),
        },
        "ip.isCanonical" => |args| match args {
            [Value::String(text)] => parse(text).map(|address| Value::Bool(address.to_string() == **text)),
            args => none("ip.isCanonical", args),
        },
        "family" => |args| match args {
            [Value::Ip(address)] => Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })),
            args => none("family", args),
        },
        "isUnspecified" => |args| asked("isUnspecified", args, IpAddr::is_unspecified),
        "isLoopback" => |args| asked("isLoopback", args, IpAddr::is_loopback),
        "isLinkLocalMulticast" => |args| asked("isLinkLocalMulticast", args, is_link_local_multicast),
        "isLinkLocalUnicast" => |args| asked("isLinkLocalUnicast", args, is_link_local_unicast),
        "isGlobalUnicast" => |args| asked("isGlobalUnicast", args, is_global_unicast),
        "cidr" => |args| match args {
            [Value::String(text)] => Network::parse(text).map(Value::Cidr),
            args => none("cidr", args),
        },
        "isCIDR" => |args| match args {
            [Value::String(text)] => Ok(Value::Bool(Network::parse(text).is_ok())),
            args => none("isCIDR", args),
        },
        "containsIP" => |args| match args {
            [Value::Cidr(network), Value::Ip(address)] => Ok(Value::Bool(network.contains(*address))),
            [Value::Cidr(network), Value::String(text)] => Ok(Value::Bool(network.contains(parse(text)?))),
            args => none("containsIP", args),
        },
        "containsCIDR" => |args| match args {
            [Value::Cidr(network), Value::Cidr(other)] => Ok(Value::Bool(network.covers(*other))),
            [Value::Cidr(network), Value::String(text)] => Ok(Value::Bool(network.covers(Network::parse(text)?))),
            args => none("containsCIDR", args),
        },
        "prefixLength" => |args| match args {
            [Value::Cidr(network)] => Ok(Value::Int(i64::from(network.bits))),
            args => none("prefixLength", args),
        },
        "masked" => |args| match args {
            [Value::Cidr(network)] => Ok(Value::Cidr(network.masked())),
            args => none("masked", args),
        },
        _ => return None,
    })
}

/// Neither zones nor IPv4 addresses in the guise of IPv6.
fn parse(text: &str) -> Eval<IpAddr> {
    let address: IpAddr = text.parse().map_err(|_| Fault::Value(format!("{text:?} is no IP address")))?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(Fault::Value(format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        address => Ok(address),
    }
}

fn asked(name: &str, args: &[Value], holds: fn(&IpAddr) -> bool) -> Eval<Value> {
    match args {
        [Value::Ip(address)] => Ok(Value::Bool(holds(address))),
        args => none(name, args),
    }
}

fn is_link_local_multicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_global_unicast(address: &IpAddr) -> bool {
    let is_broadcast = *address == IpAddr::V4(Ipv4Addr::BROADCAST);
    let is_special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    !(is_broadcast || is_special || is_link_local_unicast(address))
}

impl Network {
    fn parse(text: &str) -> Eval<Network> {
        let wrong = || Fault::Value(format!("{text:?} is no network"));
        let (address, bits) = text.rsplit_once('/').ok_or_else(wrong)?;
        let address = parse(address)?;
        let is_plain = bits == "0" || !bits.starts_with('0') && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u8 = bits.parse().ok().filter(|_| is_plain).ok_or_else(wrong)?;
        let network = Network { address, bits };
        if bits > network.width() { Err(wrong()) } else { Ok(network) }
    }

    fn width(self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The address as a number.
    fn number(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        }
    }

    /// What lies beyond the mask, as a number of bits that is shifted out.
    fn prefix(self, address: IpAddr) -> u128 {
        Network::number(address).checked_shr(u32::from(self.width() - self.bits)).unwrap_or(0)
    }

    fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && self.prefix(address) == self.prefix(self.address)
    }

    fn covers(self, other: Network) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }

    fn masked(self) -> Network {
        let number = self.prefix(self.address).checked_shl(u32::from(self.width() - self.bits)).unwrap_or(0);
        let address = match self.address {
            // What is left of 32 bits are no more.
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            IpAddr::V6(_) => IpAddr::V6(number.into()),
        };
        Network { address, ..self }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}
