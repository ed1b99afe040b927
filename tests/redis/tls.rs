//! Redis behind TLS.

use std::{cell::Cell, path::Path, process::Command};

use crate::{
    instance::{Redis, free_port},
    servers::{Site, allowed, readiness, wait_until_shared},
};

/// Makes a certificate and its key; signed by the one of this name, else by itself.
fn certificate(folder: &Path, name: &str, signed_by: Option<&str>) {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .current_dir(folder);
    if let Some(issuer) = signed_by {
        command.args(["-CA", &format!("{issuer}.pem"), "-CAkey", &format!("{issuer}.key")]).args([
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]);
    }
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn a_certificate_that_this_machine_trusts_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "authority", None);
    certificate(folder.path(), "redis", Some("authority"));
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = Cell::new(0);
    let redis = Redis::start_with(|| {
        port.set(free_port());
        let tls = [
            ("--tls-port", port.get().to_string()),
            ("--tls-cert-file", file("redis.pem")),
            ("--tls-key-file", file("redis.key")),
            ("--tls-ca-cert-file", file("authority.pem")),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        tls.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    });
    let site = Site::new(redis.tls_url(port.get()), 3);
    let trusting = site.setup().variable("SSL_CERT_FILE", &file("authority.pem")).start();
    wait_until_shared(&trusting, true);
    assert_eq!(allowed(&trusting), 3);
    assert_eq!(trusting.figure("rate_limit_shared_fallbacks_total"), 0);
    let other = site.server();
    let (status, check) = readiness(&other);
    assert_eq!((status, check["status"].as_str()), (200, Some("unhealthy")));
    assert!(check["error"].as_str().unwrap().contains("certificate"), "{check}");
    assert_eq!(allowed(&other), 3, "alone");
}
