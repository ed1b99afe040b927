use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header::FORWARDED};

use super::{ForwardedHeader, X_FORWARDED_FOR};
use crate::kernel::Network;

/// Where a request comes from, by what trusted proxies said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The nearest address that is not a trusted proxy; the farthest one where all are. `None`: none was forwarded, or
    /// what was forwarded cannot be read.
    pub(super) address: Option<IpAddr>,
    /// Whether the proxy that saw that address was reached over https; `None` where it did not say.
    pub(super) secure: Option<bool>,
}

/// The most hops that are followed. Beyond that, what was forwarded counts as malformed.
const MAX_HOPS: usize = 16;

static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// One hop, as the proxy that received it describes it.
struct Hop {
    address: IpAddr,
    secure: Option<bool>,
}

impl Origin {
    const UNKNOWN: Self = Self { address: None, secure: None };

    /// Reads the chosen header from right to left, past trusted proxies, to the first address that is none.
    pub(super) fn find(header: ForwardedHeader, headers: &HeaderMap, trusted: &[Network]) -> Self {
        match header {
            ForwardedHeader::XForwardedFor => Self::from_list(headers, trusted),
            ForwardedHeader::Forwarded => {
                let elements = items(headers, &FORWARDED).map(|element| element.and_then(Hop::parse));
                let Ok(hop) = nearest(elements, trusted) else { return Self::UNKNOWN };
                hop.map_or(Self::UNKNOWN, |(_, hop)| Self { address: Some(hop.address), secure: hop.secure })
            }
        }
    }

    fn from_list(headers: &HeaderMap, trusted: &[Network]) -> Self {
        let addresses = items(headers, &X_FORWARDED_FOR)
            .map(|item| item.and_then(address).map(|address| Hop { address, secure: None }));
        let Ok(hop) = nearest(addresses, trusted) else { return Self::UNKNOWN };
        // Proxies either put the protocol in place or append it as they do addresses: then it is the one of the same
        // hop. Anything left of that was said by the client.
        let index = hop.as_ref().map_or(0, |(index, _)| *index);
        let protocol = items(headers, &X_FORWARDED_PROTO).take(index + 1).last().flatten();
        Self { address: hop.map(|(_, hop)| hop.address), secure: protocol.and_then(is_https) }
    }
}

/// What was forwarded cannot be read.
struct Malformed;

/// The first hop from the right that is not a trusted proxy, or the last of all, with its place from the right.
fn nearest(
    hops: impl Iterator<Item = Option<Hop>>,
    trusted: &[Network],
) -> Result<Option<(usize, Hop)>, Malformed> {
    let mut found = None;
    for (index, hop) in hops.enumerate() {
        let hop = hop.ok_or(Malformed)?;
        if index == MAX_HOPS {
            return Err(Malformed);
        }
        let is_proxy = trusted.iter().any(|network| network.contains(hop.address));
        found = Some((index, hop));
        if !is_proxy {
            break;
        }
    }
    Ok(found)
}

/// The items of a header that is a list, over all its lines, from right to left; `None` is a line that is not text.
/// Commas within quotes do not count.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> {
    headers.get_all(name).iter().rev().flat_map(|line| {
        let text = line.to_str().ok();
        let mut quoted = false;
        let items = text.unwrap_or_default().rsplit(move |character| {
            quoted ^= character == '"';
            character == ',' && !quoted
        });
        items.map(move |item| text.and(Some(item.trim())))
    })
}

/// An address with or without a port; IPv6 with or without brackets. One mapped into IPv6 is taken as IPv4.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    text.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(bracketed)
        .map(|address| address.to_canonical())
}

fn is_https(protocol: &str) -> Option<bool> {
    if protocol.eq_ignore_ascii_case("https") {
        Some(true)
    } else {
        protocol.eq_ignore_ascii_case("http").then_some(false)
    }
}

impl Hop {
    /// Reads an element of `Forwarded` (RFC 7239): `for=192.0.2.60;proto=http;by=203.0.113.43`. An element that does not
    /// say an address (`for=unknown`, `for=_hidden`) cannot be used.
    fn parse(element: &str) -> Option<Self> {
        let mut address = None;
        let mut secure = None;
        for pair in element.split(';') {
            let (name, value) = pair.trim().split_once('=')?;
            let value = match value.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"')?,
                None => value,
            };
            if name.eq_ignore_ascii_case("for") {
                let first = address.replace(self::address(value)?).is_none();
                first.then_some(())?;
            } else if name.eq_ignore_ascii_case("proto") {
                secure = is_https(value);
            }
        }
        address.map(|address| Self { address, secure })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn find(header: ForwardedHeader, lines: &[(&'static str, &str)]) -> (Option<String>, Option<bool>) {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(*name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let origin = Origin::find(header, &headers, &trusted);
        (origin.address.map(|address| address.to_string()), origin.secure)
    }

    fn listed(lines: &[&str]) -> Option<String> {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        find(ForwardedHeader::XForwardedFor, &lines).0
    }

    fn forwarded(line: &str) -> (Option<String>, Option<bool>) {
        find(ForwardedHeader::Forwarded, &[("forwarded", line)])
    }

    #[test]
    fn the_nearest_address_that_is_no_proxy_is_the_client() {
        for (lines, expected) in [
            (&["203.0.113.7"][..], Some("203.0.113.7")),
            (&["1.1.1.1, 203.0.113.7, 10.0.0.2, 10.0.0.3"], Some("203.0.113.7")),
            (&["1.1.1.1", "203.0.113.7,10.0.0.2", "10.0.0.3"], Some("203.0.113.7")),
            (&["10.0.0.9, 10.0.0.2"], Some("10.0.0.9")),
            (&["garbage, 203.0.113.7"], Some("203.0.113.7")),
            (&["203.0.113.7:4711"], Some("203.0.113.7")),
            (&["[2001:db9::1]:443"], Some("2001:db9::1")),
            (&["[2001:db9::1]"], Some("2001:db9::1")),
            (&["2001:db9::1, 2001:db8::2"], Some("2001:db9::1")),
            (&["::ffff:203.0.113.7, ::ffff:10.0.0.1"], Some("203.0.113.7")),
        ] {
            assert_eq!(listed(lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_names_nobody() {
        for lines in [
            &[][..],
            &[""],
            &["203.0.113.7,"],
            &["203.0.113.7, unknown"],
            &["203.0.113.7, 10.0.0.256"],
            &["203.0.113.7:99999"],
            &["[203.0.113.7]"],
            &["203.0.113.7, [2001:db8::1"],
            &["203.0.113.7", "ü"],
        ] {
            assert_eq!(listed(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn sixteen_hops_are_followed_and_no_more() {
        let hops = |count| format!("203.0.113.7{}", ", 10.0.0.1".repeat(count));
        assert_eq!(listed(&[&hops(15)]).as_deref(), Some("203.0.113.7"));
        assert_eq!(listed(&[&hops(16)]), None);
        assert_eq!(listed(&[&hops(10_000)]), None);
    }

    #[test]
    fn the_protocol_is_the_one_of_the_hop_that_is_the_client() {
        let secure = |addresses, protocols| {
            let lines = [("x-forwarded-for", addresses), ("x-forwarded-proto", protocols)];
            find(ForwardedHeader::XForwardedFor, &lines).1
        };
        assert_eq!(secure("203.0.113.7", "https"), Some(true));
        assert_eq!(secure("203.0.113.7", "HTTPS"), Some(true));
        assert_eq!(secure("203.0.113.7", "http"), Some(false));
        assert_eq!(secure("203.0.113.7", "gopher"), None);
        assert_eq!(secure("203.0.113.7", "https, http"), Some(false), "the client put https there itself");
        assert_eq!(secure("203.0.113.7, 10.0.0.1", "https, http"), Some(true));
        assert_eq!(secure("203.0.113.7, 10.0.0.1", "https"), Some(true));
        assert_eq!(secure("nobody", "https"), None);
    }

    #[test]
    fn the_standard_header_says_both_in_one_element() {
        for (line, address, secure) in [
            ("for=203.0.113.7;proto=https", Some("203.0.113.7"), Some(true)),
            ("For=\"203.0.113.7:80\"; Proto=http;by=_x", Some("203.0.113.7"), Some(false)),
            ("for=\"[2001:db9::1]:4711\"", Some("2001:db9::1"), None),
            (
                "for=1.1.1.1;proto=https, for=203.0.113.7;proto=http, for=10.0.0.2;proto=https",
                Some("203.0.113.7"),
                Some(false),
            ),
            ("for=\"unterminated, for=203.0.113.7", Some("203.0.113.7"), None),
            ("by=\"a,b\";for=203.0.113.7", Some("203.0.113.7"), None),
            ("for=unknown", None, None),
            ("for=_hidden, for=10.0.0.1", None, None),
            ("for=1.1.1.1;for=203.0.113.7", None, None),
            ("proto=https", None, None),
            ("203.0.113.7", None, None),
            ("for=\"203.0.113.7", None, None),
            ("", None, None),
        ] {
            let expected = (address.map(str::to_owned), secure);
            assert_eq!(forwarded(line), expected, "{line}");
        }
    }

    #[test]
    fn the_header_that_was_not_chosen_is_not_read() {
        let lines = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=203.0.113.8;proto=https")];
        assert_eq!(find(ForwardedHeader::XForwardedFor, &lines).0.as_deref(), Some("203.0.113.7"));
        assert_eq!(find(ForwardedHeader::XForwardedFor, &lines).1, None);
        assert_eq!(find(ForwardedHeader::Forwarded, &lines).0.as_deref(), Some("203.0.113.8"));
    }

    proptest! {
        #[test]
        fn a_client_cannot_change_what_a_proxy_says(junk in "[ -~]{0,60}", chosen in any::<bool>()) {
            if chosen {
                let line = format!("{junk}, 203.0.113.7, 10.0.0.1");
                prop_assert_eq!(listed(&[&line]), Some("203.0.113.7".to_owned()));
            } else {
                let line = format!("{junk}, for=203.0.113.7;proto=https, for=10.0.0.1");
                prop_assert_eq!(forwarded(&line), (Some("203.0.113.7".to_owned()), Some(true)));
            }
        }
    }
}
