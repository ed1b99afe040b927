//! Proxies in front of a server, each with its shipped configuration on ports of the test.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use tempfile::TempDir;

use crate::{harness::PATIENCE, socket::exchange};

/// What stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Haproxy,
    Caddy,
}

/// A proxy that runs. It is killed when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

/// All of them.
pub(crate) const PROXIES: [Kind; 3] = [Kind::Nginx, Kind::Haproxy, Kind::Caddy];

// === impl Kind ===

impl Kind {
    /// Starts it before a server with what is shipped for it.
    pub(crate) fn before(self, server: SocketAddr) -> Proxy {
        let address = free_address();
        let upstream = ("127.0.0.1:8080", server.to_string());
        match self {
            Self::Nginx => Proxy::nginx_before(address, &[server]),
            Self::Haproxy => {
                let bind = "bind :443 ssl crt /etc/haproxy/flags.example.com.pem alpn h2,http/1.1";
                let file = shipped("haproxy.cfg", &[upstream, (bind, format!("bind {address}"))]);
                Proxy::haproxy(address, &file)
            }
            Self::Caddy => {
                let name = "flags.example.com {";
                let site = format!("http://:{} {{\n\tbind {}", address.port(), address.ip());
                // The admin endpoint has a fixed port, which another test's may have.
                let options = ("{\n\tservers {", "{\n\tadmin off\n\tservers {".to_owned());
                Proxy::caddy(address, &shipped("Caddyfile", &[upstream, (name, site), options]))
            }
        }
    }
}

/// A shipped file with other values in place of those it documents.
pub(crate) fn shipped(file: &str, values: &[(&str, String)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
    let text = fs::read_to_string(path).unwrap();
    values.iter().fold(text, |text, (documented, value)| {
        assert!(text.contains(documented), "{file} does not say `{documented}`");
        text.replace(documented, value)
    })
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

// === impl Proxy ===

impl Proxy {
    /// nginx before these servers with what is shipped for it, but without TLS.
    pub(crate) fn nginx_before(address: SocketAddr, servers: &[SocketAddr]) -> Self {
        let locations = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx.conf");
        let servers: Vec<String> = servers.iter().map(|server| format!("server {server};")).collect();
        let values = [
            ("server 127.0.0.1:8080;", servers.join(" ")),
            ("listen 80;", format!("listen {};", free_address())),
            ("listen 443 ssl http2;", format!("listen {address};")),
            ("ssl_certificate /etc/ssl/certs/flags.example.com.pem;", String::new()),
            ("ssl_certificate_key /etc/ssl/private/flags.example.com.key;", String::new()),
            ("/etc/nginx/flagstone.conf", locations.display().to_string()),
        ];
        let site = shipped("nginx-tls.conf", &values);
        Self::nginx(address, &format!("http {{ {site} }}"))
    }

    /// nginx with these contexts.
    pub(crate) fn nginx(address: SocketAddr, contexts: &str) -> Self {
        // One process in the foreground, and nothing outside of its folder.
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = temporary.map(|of| format!("{of}_temp_path {of}; ")).concat();
        let contexts = contexts.replacen("http {", &format!("http {{ access_log off; {temporary}"), 1);
        let streams = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n";
        let modules = if contexts.starts_with("stream") { streams } else { "" };
        let text = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
             {modules}events {{}}\n{contexts}\n"
        );
        Self::start(address, "nginx.conf", &text, |folder, file| {
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-c").arg(file).args(["-e", "stderr"]);
            command
        })
    }

    /// HAProxy with this file.
    pub(crate) fn haproxy(address: SocketAddr, file: &str) -> Self {
        Self::start(address, "haproxy.cfg", file, |_, file| {
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(file);
            command
        })
    }

    fn caddy(address: SocketAddr, file: &str) -> Self {
        Self::start(address, "Caddyfile", file, |folder, file| {
            let mut command = Command::new("caddy");
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file).env("HOME", folder);
            command
        })
    }

    /// Starts a program on a file and waits until requests come through, or are sent on to https.
    fn start(
        address: SocketAddr,
        name: &str,
        text: &str,
        command: impl FnOnce(&Path, &Path) -> Command,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let output = fs::File::create(folder.path().join("output")).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let child = command(folder.path(), &file)
            .env("PATH", format!("{path}:/usr/sbin"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut proxy = Self { address, child, folder };
        let deadline = Instant::now() + PATIENCE;
        let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        while !proxy.listens() || !matches!(exchange(address, request.as_bytes()).statuses()[..], [200 | 301])
        {
            let ended = proxy.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{name}: {ended:?} {}", proxy.output());
            thread::yield_now();
        }
        proxy
    }

    fn listens(&self) -> bool {
        std::net::TcpStream::connect(self.address).is_ok()
    }

    /// What it printed.
    fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
