//! The PROXY protocol, versions 1 and 2: by it a proxy that passes connections on, and does not read them, says whose
//! they are (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).
//!
//! A connection from one of the networks that the settings name has to begin with it; from anybody else it is not
//! believed, and no HTTP either.

use std::{io, net::SocketAddr};

use flagstone_layers::kernel::{List, Network};
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What version 1 begins with.
const FIRST: &[u8] = b"PROXY ";
/// What version 2 begins with.
const SECOND: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1.
const LONGEST_LINE: usize = 107;
/// The most bytes after the first 16 of version 2: addresses, and what a proxy adds.
const LONGEST_REST: usize = 4096;

/// Who has to begin with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProxyProtocol {
    from: List<Network>,
}

/// Why a connection does not begin as it has to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadHeader {
    #[error("it ended within the header: {0}")]
    Ended(#[from] io::Error),
    #[error("it does not begin with a PROXY header")]
    Missing,
    #[error("the PROXY header is malformed")]
    Malformed,
}

impl ProxyProtocol {
    pub(crate) fn new(from: List<Network>) -> Self {
        Self { from }
    }

    /// Whether a connection from there has to begin with it.
    pub(crate) fn is_spoken_by(&self, peer: SocketAddr) -> bool {
        self.from.iter().any(|network| network.contains(peer.ip()))
    }
}

/// Reads the header, and no byte after it; whose connection it is. The proxy's own, such as a health check, is `peer`'s.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
) -> Result<SocketAddr, BadHeader> {
    let mut header = vec![0; SECOND.len()];
    stream.read_exact(&mut header).await?;
    if header == SECOND {
        read_rest(stream, &mut header).await?;
    } else if header.starts_with(FIRST) {
        read_line(stream, &mut header).await?;
    } else {
        return Err(BadHeader::Missing);
    }
    match ProxyHeader::parse(&header, ParseConfig::default()) {
        Ok((parsed, length)) if length == header.len() => {
            Ok(parsed.proxied_address().map_or(peer, |addresses| addresses.source))
        }
        Ok(_) | Err(_) => Err(BadHeader::Malformed),
    }
}

/// The rest of version 2: its fixed part, and as much as that says.
async fn read_rest(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), BadHeader> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    header.extend_from_slice(&fixed);
    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if length > LONGEST_REST {
        return Err(BadHeader::Malformed);
    }
    let begun = header.len();
    header.resize(begun + length, 0);
    let rest = header.get_mut(begun..).unwrap_or_default();
    stream.read_exact(rest).await?;
    Ok(())
}

/// The rest of version 1: up to the end of the line, byte by byte, since what follows is not ours.
async fn read_line(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), BadHeader> {
    while !header.ends_with(b"\r\n") {
        if header.len() == LONGEST_LINE {
            return Err(BadHeader::Malformed);
        }
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.1:1000";

    /// Whose connection it is, and what was left to read.
    async fn read_from(bytes: &[u8]) -> Result<(String, Vec<u8>), BadHeader> {
        let mut stream = bytes;
        let source = read(&mut stream, PEER.parse().unwrap()).await?;
        Ok((source.to_string(), stream.to_vec()))
    }

    fn second(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = SECOND.to_vec();
        header.extend([command, family]);
        header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        header.extend(rest);
        header.extend(b"GET /");
        header
    }

    #[tokio::test]
    async fn the_first_version_names_the_client() {
        for (line, source) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "192.0.2.1:56324"),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", "[2001:db8::1]:56324"),
            ("PROXY UNKNOWN\r\n", PEER),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", PEER),
        ] {
            let (found, left) = read_from(format!("{line}GET /").as_bytes()).await.unwrap();
            assert_eq!((found.as_str(), left.as_slice()), (source, b"GET /".as_slice()), "{line}");
        }
    }

    #[tokio::test]
    async fn the_second_version_names_the_client() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 0x01, 0xbb];
        let with_more = [v4.as_slice(), &[0x04, 0, 2, 0, 0]].concat();
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        v6[32..].copy_from_slice(&[0xdc, 0x04, 0x01, 0xbb]);
        for (header, source) in [
            (second(0x21, 0x11, &v4), "192.0.2.1:56324"),
            (second(0x21, 0x11, &with_more), "192.0.2.1:56324"),
            (second(0x21, 0x21, &v6), "[2001:db8::1]:56324"),
            (second(0x20, 0x00, &[]), PEER),
            (second(0x20, 0x11, &v4), PEER),
            (second(0x21, 0x00, &[]), PEER),
        ] {
            let (found, left) = read_from(&header).await.unwrap();
            assert_eq!((found.as_str(), left.as_slice()), (source, b"GET /".as_slice()), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let too_long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
        for bad in [
            b"GET / HTTP/1.1\r\n\r\n".as_slice(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\nGET /",
            b"PROXY TCP4 192.0.2.999 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 \xff\xff\r\nxxxxxxxxxxxxx",
            b"PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            too_long.as_bytes(),
            &second(0x31, 0x11, &[0; 12]),
            &second(0x2f, 0x11, &[0; 12]),
            &second(0x21, 0x11, &[0; 4]),
            &[SECOND, &[0x21, 0x11, 0xff, 0xff]].concat(),
            b"PROXY",
            b"",
        ] {
            assert!(read_from(bad).await.is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn cut_off_anywhere_it_is_refused() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 0x01, 0xbb];
        for whole in
            [b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec(), second(0x21, 0x11, &v4)[..28].to_vec()]
        {
            for length in 0..whole.len() {
                assert!(read_from(&whole[..length]).await.is_err(), "{length} of {whole:?}");
            }
        }
    }
}
