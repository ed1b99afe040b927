//! The values of headers that take one of a few words.

use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! tokens {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $token:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$meaning])* #[serde(rename = $token)] $variant,)+
        }

        impl $name {
            /// The value as it is sent.
            pub(super) const fn value(self) -> HeaderValue {
                HeaderValue::from_static(match self {
                    $(Self::$variant => $token,)+
                })
            }
        }
    };
}

tokens! {
    /// Who may show a page within a page.
    FrameOptions {
        /// Nobody.
        Deny = "DENY",
        /// Pages of the same origin.
        SameOrigin = "SAMEORIGIN",
    }
}

tokens! {
    /// How much of a page's address is sent on to others.
    ReferrerPolicy {
        /// Nothing.
        NoReferrer = "no-referrer",
        /// All of it, but from https to http.
        NoReferrerWhenDowngrade = "no-referrer-when-downgrade",
        /// The origin.
        Origin = "origin",
        /// All of it within the origin, else the origin.
        OriginWhenCrossOrigin = "origin-when-cross-origin",
        /// All of it within the origin, else nothing.
        SameOrigin = "same-origin",
        /// The origin, but from https to http.
        StrictOrigin = "strict-origin",
        /// All of it within the origin, else the origin, but from https to http.
        StrictOriginWhenCrossOrigin = "strict-origin-when-cross-origin",
        /// All of it, always.
        UnsafeUrl = "unsafe-url",
    }
}

tokens! {
    /// Whether a page shares its window with those that opened it.
    OpenerPolicy {
        /// With those of the same origin.
        SameOrigin = "same-origin",
        /// With those, and with what it opens itself.
        SameOriginAllowPopups = "same-origin-allow-popups",
        /// With nobody that opens it.
        NoopenerAllowPopups = "noopener-allow-popups",
        /// With everybody.
        UnsafeNone = "unsafe-none",
    }
}

tokens! {
    /// What a page may embed.
    EmbedderPolicy {
        /// What says that it may be embedded.
        RequireCorp = "require-corp",
        /// Anything, asked for without cookies.
        Credentialless = "credentialless",
        /// Anything.
        UnsafeNone = "unsafe-none",
    }
}

tokens! {
    /// Which pages may embed an answer.
    ResourcePolicy {
        /// Pages of the same origin.
        SameOrigin = "same-origin",
        /// Pages of the same site.
        SameSite = "same-site",
        /// Any page.
        CrossOrigin = "cross-origin",
    }
}

tokens! {
    /// Whether names of links are looked up before anybody follows them.
    DnsPrefetch {
        /// They are.
        On = "on",
        /// They are not.
        Off = "off",
    }
}

tokens! {
    /// Which policy files of Flash and PDF readers count.
    CrossDomainPolicies {
        /// None.
        None = "none",
        /// The one at the root.
        MasterOnly = "master-only",
        /// Those with the right content type.
        ByContentType = "by-content-type",
        /// All.
        All = "all",
    }
}
