//! A site as operators are shown to make one: the shipped nginx configuration, its TLS part included.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::proxy::{Proxy, free_address, shipped};

/// The name in the shipped configuration.
pub(crate) const HOST: &str = "flags.example.com";

/// nginx before a server, with a certificate of its own.
pub(crate) struct Site {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    folder: TempDir,
    _proxy: Proxy,
}

impl Site {
    pub(crate) fn of(server: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (http, https) = (free_address(), free_address());
        let locations = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx.conf");
        let values = [
            ("127.0.0.1:8080", server.to_string()),
            ("listen 80;", format!("listen {http};")),
            ("listen 443 ", format!("listen {https} ")),
            ("/etc/ssl/certs/flags.example.com.pem", path("certificate.pem")),
            ("/etc/ssl/private/flags.example.com.key", path("key.pem")),
            ("/etc/nginx/flagstone.conf", locations.display().to_string()),
        ];
        let site = shipped("nginx-tls.conf", &values);
        let proxy = Proxy::nginx(http, &format!("http {{ {site} }}"));
        Self { http, https, folder, _proxy: proxy }
    }

    /// What signed the certificate: the certificate itself.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
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
