//! The shipped nginx configuration on free ports, with a certificate of its own.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use tempfile::TempDir;

use crate::harness::PATIENCE;

/// The name in the shipped configuration.
pub(crate) const HOST: &str = "flags.example.com";

/// A running nginx. It is killed when dropped.
pub(crate) struct Proxy {
    pub(crate) http: u16,
    pub(crate) https: u16,
    folder: TempDir,
    child: Child,
}

impl Proxy {
    /// Before this server.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path());
        // Somebody else may take a free port before nginx does.
        for _ in 0..10 {
            let (http, https) = (free_port(), free_port());
            configure(folder.path(), server, http, https);
            let mut child = Command::new("nginx")
                .args(["-e", "stderr", "-p"])
                .arg(folder.path())
                .args(["-c", "main.conf"])
                .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
                .stdin(Stdio::null())
                .spawn()
                .expect("nginx is there: `cargo xtask test` installs it");
            if listens(&mut child, https) {
                return Self { http, https, folder, child };
            }
        }
        panic!("nginx did not start");
    }

    /// What signed the certificate: the certificate itself.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn certify(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=Flagstone test"])
        .args(["-addext", &format!("subjectAltName=DNS:{HOST}")])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// The shipped files with this test's ports and paths, which have to be in them.
fn configure(folder: &Path, server: SocketAddr, http: u16, https: u16) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let path = |name: &str| folder.join(name).display().to_string();
    let change = |file: &str, to: &str, changes: &[(&str, &str)]| {
        let mut text = fs::read_to_string(shipped.join(file)).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{file} lacks `{from}`");
            text = text.replace(from, to);
        }
        fs::write(folder.join(to), text).unwrap();
    };
    change("nginx.conf", "flagstone.conf", &[("127.0.0.1:8080", &server.to_string())]);
    change(
        "nginx-tls.conf",
        "tls.conf",
        &[
            ("listen 80;", &format!("listen 127.0.0.1:{http};")),
            ("listen 443 ", &format!("listen 127.0.0.1:{https} ")),
            ("/etc/ssl/certs/flags.example.com.pem", &path("certificate.pem")),
            ("/etc/ssl/private/flags.example.com.key", &path("key.pem")),
            ("/etc/nginx/flagstone.conf", &path("flagstone.conf")),
        ],
    );
    // One process, so that nothing is left when it is killed; and nothing outside of the folder.
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|of| format!("    {of}_temp_path {of};\n"))
        .collect();
    let main = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\n    access_log off;\n{temporary}    include tls.conf;\n}}\n"
    );
    fs::write(folder.join("main.conf"), main).unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether it accepts connections, rather than having ended.
fn listens(child: &mut Child, port: u16) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        assert!(Instant::now() < deadline, "nginx does not listen");
        thread::yield_now();
    }
    false
}
