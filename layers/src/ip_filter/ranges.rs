use std::{cmp::Ordering, net::IpAddr};

use ipnet::IpNet;

use crate::kernel::Network;

/// A set of addresses as sorted ranges that neither touch nor overlap, ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

/// An address as a number.
trait Number: Copy + Ord {
    fn next(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Ranges {
    pub(super) fn new(networks: &[Network]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network.0 {
                IpNet::V4(network) => v4.push((network.network().to_bits(), network.broadcast().to_bits())),
                IpNet::V6(network) => v6.push((network.network().to_bits(), network.broadcast().to_bits())),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    /// Whether the address is in the set. An IPv4 address mapped into IPv6 is judged as IPv4.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => found(&self.v4, address.to_bits()),
            IpAddr::V6(address) => found(&self.v6, address.to_bits()),
        }
    }
}

fn merged<N: Number>(mut ranges: Vec<(N, N)>) -> Box<[(N, N)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            // It overlaps the one before, or begins where that ends.
            Some((_, end)) if end.next().is_none_or(|after| first <= after) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

fn found<N: Number>(ranges: &[(N, N)], number: N) -> bool {
    let order = |&(first, last): &(N, N)| match (first.cmp(&number), last.cmp(&number)) {
        (Ordering::Greater, _) => Ordering::Greater,
        (_, Ordering::Less) => Ordering::Less,
        _ => Ordering::Equal,
    };
    ranges.binary_search_by(order).is_ok()
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        net::{Ipv4Addr, Ipv6Addr},
    };

    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn neighbours_become_one_range() {
        let ranges = Ranges::new(&networks(&["10.0.0.0/9", "10.128.0.0/9", "10.1.2.3", "192.0.2.1", "::1"]));
        assert_eq!((ranges.v4.len(), ranges.v6.len()), (2, 1));
        let everybody = Ranges::new(&networks(&["0.0.0.0/0", "255.255.255.255", "::/0", "::1"]));
        assert_eq!((everybody.v4.len(), everybody.v6.len()), (1, 1));
        assert!(everybody.contains("255.255.255.255".parse().unwrap()));
    }

    #[test]
    fn a_mapped_address_is_judged_as_what_it_is() {
        let ranges = Ranges::new(&networks(&["10.0.0.0/8"]));
        assert!(ranges.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!ranges.contains("::ffff:11.1.2.3".parse().unwrap()));
    }

    /// A number that counts how often it is compared.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Counted(u32);

    thread_local!(static COMPARED: Cell<usize> = const { Cell::new(0) });

    impl Ord for Counted {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARED.set(COMPARED.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Number for Counted {
        fn next(self) -> Option<Self> {
            self.0.checked_add(1).map(Self)
        }
    }

    #[test]
    fn ten_thousand_entries_take_few_steps() {
        let ranges =
            merged((0..10_000).map(|index| (Counted(index * 10), Counted(index * 10 + 4))).collect());
        assert_eq!(ranges.len(), 10_000);
        for number in (0..100_000).step_by(7) {
            COMPARED.set(0);
            assert_eq!(found(&ranges, Counted(number)), number % 10 < 5, "{number}");
            // 2^14 > 10,000: 15 steps of two comparisons.
            assert!(COMPARED.get() <= 30, "{} comparisons", COMPARED.get());
        }
    }

    proptest! {
        #[test]
        fn a_range_holds_what_its_networks_hold(
            v4 in prop::collection::vec((0_u32..64, 26_u8..=32), 0..12),
            v6 in prop::collection::vec((0_u128..64, 122_u8..=128), 0..12),
        ) {
            let mut networks: Vec<Network> = Vec::new();
            for (bits, prefix) in v4 {
                networks.push(format!("{}/{prefix}", Ipv4Addr::from_bits(bits)).parse().unwrap());
            }
            for (bits, prefix) in v6 {
                networks.push(format!("{}/{prefix}", Ipv6Addr::from_bits(bits << 64)).parse().unwrap());
            }
            let ranges = Ranges::new(&networks);
            for bits in 0..70_u32 {
                for address in [IpAddr::from(Ipv4Addr::from_bits(bits)), Ipv6Addr::from_bits(u128::from(bits) << 64).into()] {
                    let expected = networks.iter().any(|network| network.contains(address));
                    prop_assert_eq!(ranges.contains(address), expected, "{}", address);
                }
            }
        }
    }
}
