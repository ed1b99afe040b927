//! Who may call: keys from a file.

use std::{collections::HashMap, fs, io, path::Path};

use flagstone_layers::kernel::{
    AuthFailure, Authentication, Authenticator, Credential, Principal, PrincipalKind,
};
use sha2::{Digest, Sha256};

/// The keys of a file, by the SHA-256 of their secrets: how long it takes to look one up tells nothing of it.
pub(crate) struct Keys {
    principals: HashMap<[u8; 32], Principal>,
}

impl Keys {
    /// Reads lines of a name, a kind (`client` or `server`) and a secret; `#` begins a comment.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let fault = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let text = fs::read_to_string(path).map_err(|error| fault(format!("{}: {error}", path.display())))?;
        let mut principals = HashMap::new();
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let Some((secret, principal)) = parse(line) else {
                let what = "expected `<name> client <secret>` or `<name> server <secret>`";
                return Err(fault(format!("{}:{number}: {what}", path.display())));
            };
            principals.insert(hash(secret), principal);
        }
        Ok(Self { principals })
    }
}

fn parse(line: &str) -> Option<(&str, Principal)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, kind, secret] = *words else { return None };
    let kind = match kind {
        "client" => PrincipalKind::ClientKey,
        "server" => PrincipalKind::ServerKey,
        _ => return None,
    };
    Some((secret, Principal::new(kind, format!("key:{name}"))))
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

impl Authenticator for Keys {
    fn authenticate(&self, credential: Credential<'_>) -> Authentication {
        let Credential::SdkKey(secret) = credential else {
            return Authentication::Refused(AuthFailure::Invalid);
        };
        match self.principals.get(&hash(secret)) {
            Some(principal) => Authentication::Accepted(principal.clone()),
            None => Authentication::Refused(AuthFailure::Invalid),
        }
    }
}
