//! Internet addresses, and what they tell of who is behind them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The part of an IPv6 address that tells subscribers apart: a home or an office is given a /56,
/// or less, and may use any address in it.
const IPV6_SUBSCRIBER_MASK: u128 = !0 << (128 - 56);

/// The address, without the part that whoever sits there may choose.
#[must_use]
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & IPV6_SUBSCRIBER_MASK).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The subscriber at an address as it was written down. `None` if it tells nothing of who that is:
/// it is none, or one that everybody has somewhere.
#[must_use]
pub fn telling(address: &str) -> Option<IpAddr> {
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    let is_anybodys = match address {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_inside_a_carrier(v4)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    (!is_anybodys).then(|| subscriber(address))
}

/// 100.64.0.0/10, which carriers give to customers that share an address (RFC 6598).
fn is_inside_a_carrier(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0b1100_0000 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_everybody_has_tell_nothing() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.9",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.1.2.3",
            "x",
            "",
        ] {
            assert_eq!(telling(address), None, "{address}");
        }
        for address in ["203.0.113.9", "100.63.255.255", "100.128.0.1"] {
            assert_eq!(telling(address), Some(address.parse().unwrap()));
        }
    }

    #[test]
    fn one_subscriber_is_one_address() {
        let home = telling("2001:db8:1:200::1");
        assert!(home.is_some());
        assert_eq!(home, telling("2001:db8:1:2ff::99"));
        assert_ne!(home, telling("2001:db8:1:300::1"), "next door");
        assert_eq!(telling("::ffff:203.0.113.9"), telling("203.0.113.9"));
    }
}
