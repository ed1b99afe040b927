//! `serve --demo`: what is printed, and the ready file that scripts read.

use std::{fmt::Write as _, io, path::Path};

use flagstone_services::demo::Demo;
use serde_json::{Map, Value, json};

/// Where a server can be reached.
pub(crate) struct Addresses {
    /// Of the server: `http://127.0.0.1:8080`.
    pub(crate) url: String,
    /// Of its admin listener.
    pub(crate) admin_url: String,
}

/// Writes the ready file whole or not at all.
pub(crate) fn write_ready_file(path: &Path, addresses: &Addresses, demo: Option<&Demo>) -> io::Result<()> {
    let mut document = json!({
        "url": addresses.url,
        "admin_url": addresses.admin_url,
        "pid": std::process::id(),
    });
    if let Some(demo) = demo {
        let keys: Map<String, Value> = demo
            .keys
            .iter()
            .map(|keys| (keys.environment.clone(), json!({ "server": keys.server, "client": keys.client })))
            .collect();
        document["demo"] =
            json!({ "project": demo.project, "email": demo.email, "password": demo.password, "keys": keys });
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    write_private(Path::new(&temporary), document.to_string().as_bytes())?;
    std::fs::rename(&temporary, path)
}

/// It may hold secrets: only the owner reads it.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, bytes)
}

/// What a demonstration tells the person who started it. Each command works when pasted.
pub(crate) fn greeting(addresses: &Addresses, demo: &Demo) -> String {
    let url = &addresses.url;
    let mut text = String::from("\nFlagstone runs with a throw-away project `demo`.\n\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  server    {url}\n  admin     {}", addresses.admin_url);
    let _ = writeln!(text, "  sign in   {} / {}\n", demo.email, demo.password);
    for keys in &demo.keys {
        let _ = writeln!(
            text,
            "  {:<12} server key {}\n{:<15}client key {}",
            keys.environment, keys.server, "", keys.client
        );
    }
    let Some(keys) = demo.keys.first() else { return text };
    let (server, client) = (&keys.server, &keys.client);
    let _ = write!(
        text,
        "
Try it:

  # all flags of `development`, by OpenFeature's protocol
  curl -s {url}/ofrep/v1/evaluate/flags -H 'Authorization: Bearer {client}' \\
    -H 'Content-Type: application/json' -d '{{\"context\":{{\"targetingKey\":\"user-1\",\"plan\":\"pro\"}}}}'

  # one flag, and why it answers so
  curl -s '{url}/api/v1/evaluate/beta-search?trace=true' -H 'Authorization: Bearer {server}' \\
    -H 'Content-Type: application/json' -d '{{\"context\":{{\"user_id\":\"user-1\",\"attributes\":{{\"plan\":\"pro\"}}}}}}'

  # watch changes (leave it open)
  curl -sN {url}/api/v1/stream -H 'Authorization: Bearer {client}'

  # sign in and switch `beta-search` off
  curl -s -c /tmp/flagstone.cookies {url}/api/auth/login -H 'Content-Type: application/json' \\
    -d '{{\"email\":\"{email}\",\"password\":\"{password}\"}}'
  FLAG={url}/api/management/projects/demo/flags/beta-search/environments/development
  curl -s -b /tmp/flagstone.cookies $FLAG | sed 's/\"enabled\":true/\"enabled\":false/' |
    curl -s -b /tmp/flagstone.cookies -X PUT -H 'Content-Type: application/json' -H 'If-Match: *' -d @- $FLAG

",
        email = demo.email,
        password = demo.password,
    );
    text
}
