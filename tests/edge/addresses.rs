//! Whose request it is (R96): behind each proxy it is the client's own address, whatever clients say of themselves.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::{
    harness::{Server, Setup},
    proxy::{PROXIES, Proxy, free_address},
    socket::{Answers, exchange_on},
};

/// Where clients are. Proxies and server are at 127.0.0.1.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// What a client may say to be somebody else, or to make a proxy leave out who it is.
const CLAIMS: [&str; 10] = [
    "",
    "X-Forwarded-For: 198.51.100.7\r\n",
    "X-Forwarded-For: 127.0.0.1\r\n",
    "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 127.0.0.1, 127.0.0.1\r\n",
    "X-Forwarded-For: not an address\r\n",
    "X_Forwarded_For: 198.51.100.7\r\n",
    "X-Real-IP: 198.51.100.7\r\nX-Client-IP: 198.51.100.7\r\n",
    "Forwarded: for=198.51.100.7;proto=https\r\n",
    "Forwarded: for=198.51.100.7, for=127.0.0.1\r\nX-Forwarded-For: 198.51.100.7\r\n",
    "Connection: close, X-Forwarded-For, Forwarded\r\nX-Forwarded-For: 198.51.100.7\r\n",
];

fn setup() -> Setup {
    Setup::demo().variable("LOG_FILE", "log.json")
}

/// Asks from a client's address.
fn ask(address: SocketAddr, before: &[u8], path: &str, lines: &str) -> Answers {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((CLIENT, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{lines}\r\n");
    exchange_on(TcpStream::from(socket), &[before, head.as_bytes()].concat())
}

/// Whose request for this path it was, by the access log.
fn client_of(server: &Server, path: &str) -> Value {
    let lines = server.wait_for_log(path);
    lines.iter().find(|line| line["path"] == path).unwrap()["client"].clone()
}

/// Each claim through the proxy: the client is where it is.
fn no_claim_is_believed(server: &Server, proxy: &Proxy) {
    for (number, claim) in CLAIMS.iter().enumerate() {
        let path = format!("/nothing/{}/{number}", proxy.address.port());
        assert_eq!(ask(proxy.address, b"", &path, claim).statuses(), [404], "{claim}");
        assert_eq!(client_of(server, &path), CLIENT.to_string(), "{claim}");
    }
}

#[test]
fn a_client_behind_a_proxy_cannot_be_another() {
    let server = setup().variable("TRUSTED_PROXIES", "127.0.0.1").start();
    for kind in PROXIES {
        no_claim_is_believed(&server, &kind.before(server.address()));
    }
}

#[test]
fn nor_where_the_standard_header_is_chosen() {
    let chosen =
        |text: String| text.replace("kind = \"client_ip\"", "kind = \"client_ip\"\nheader = \"forwarded\"");
    let server = setup().variable("TRUSTED_PROXIES", "127.0.0.1").pipeline(chosen).start();
    let address = free_address();
    let site = format!(
        "http {{ server {{ listen {address}; location / {{ proxy_pass {}; \
         proxy_set_header Forwarded \"for=$remote_addr;proto=$scheme\"; }} }} }}",
        server.url
    );
    no_claim_is_believed(&server, &Proxy::nginx(address, &site));
}

#[test]
fn a_proxy_that_reads_nothing_says_it_by_the_proxy_protocol() {
    let server = setup().variable("PROXY_PROTOCOL_FROM", "127.0.0.1").start();
    for version in ["send-proxy", "send-proxy-v2"] {
        let address = free_address();
        // Its checks are connections of its own, and say so.
        let file = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n timeout check 10s\n\
             listen connections\n bind {address}\n option httpchk\n\
             http-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host localhost\n\
             server flagstone {} {version} check check-{version} inter 200ms\n",
            server.address(),
            version = version,
        )
        .replace("check-send-proxy-v2", "check-send-proxy");
        no_claim_is_believed(&server, &Proxy::haproxy(address, &file));
    }
    // Nobody else may: it is no HTTP.
    let forged = ask(server.address(), b"PROXY TCP4 198.51.100.7 192.0.2.2 1 2\r\n", "/nothing/forged", "");
    assert_eq!(forged.statuses(), [400]);
    assert_eq!(ask(server.address(), b"", "/nothing/direct", "").statuses(), [404]);
    assert_eq!(client_of(&server, "/nothing/direct"), CLIENT.to_string());
}

#[test]
fn also_nginx_that_reads_nothing() {
    let server = setup().variable("PROXY_PROTOCOL_FROM", "127.0.0.1").start();
    let address = free_address();
    let connections = format!(
        "stream {{ server {{ listen {address}; proxy_pass {}; proxy_protocol on; }} }}",
        server.address()
    );
    no_claim_is_believed(&server, &Proxy::nginx(address, &connections));
}

#[test]
fn a_proxy_that_is_not_trusted_is_warned_of_once_and_shown() {
    let setup = setup();
    let server = setup.clone().start();
    for kind in PROXIES {
        let proxy = kind.before(server.address());
        let path = format!("/nothing/{}", proxy.address.port());
        assert_eq!(ask(proxy.address, b"", &path, "").statuses(), [404]);
        assert_eq!(client_of(&server, &path), "127.0.0.1", "{kind:?}");
    }
    assert_eq!(ask(server.address(), b"", "/nothing/last", "").statuses(), [404]);
    let lines = server.wait_for_log("/nothing/last");
    let warnings: Vec<_> = lines
        .iter()
        .filter(|line| {
            line["message"].as_str().is_some_and(|text| text.contains("ignored forwarded headers"))
        })
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["level"], "WARN");
    let ignored = server.pipeline()["ignored_forwards"]["client-ip"].as_u64().unwrap();
    assert!(ignored >= 3, "{ignored}");
    let status = setup.run(&["status", "--admin", &server.admin_url]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("requests, in `client-ip`: not from trusted_proxies"), "{status}");
}
