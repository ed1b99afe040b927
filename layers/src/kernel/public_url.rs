use http::{Uri, uri::Scheme};

/// Where people reach the server. Lent by the host, where it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Uri);

impl PublicUrl {
    /// The absolute URL, such as `https://flags.example.com`.
    pub fn new(url: Uri) -> Self {
        Self(url)
    }

    /// The URL.
    pub fn url(&self) -> &Uri {
        &self.0
    }

    /// Whether people reach it over https.
    pub fn is_secure(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }
}
