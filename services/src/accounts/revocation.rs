/// Why somebody's session was ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// The user signed out.
    SignOut,
    /// The user ended it from another session.
    User,
    /// The user signed in again in the same browser.
    Replaced,
    /// The user signed in more often than one may; it was the oldest.
    Displaced,
    /// The user changed the password.
    PasswordChanged,
    /// An administrator or the command line set the user's password.
    PasswordSet,
}

impl Revocation {
    /// Every reason, in the order above.
    pub const ALL: [Self; 6] = [
        Self::SignOut,
        Self::User,
        Self::Replaced,
        Self::Displaced,
        Self::PasswordChanged,
        Self::PasswordSet,
    ];

    /// The name in a figure's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignOut => "sign_out",
            Self::User => "user",
            Self::Replaced => "replaced",
            Self::Displaced => "displaced",
            Self::PasswordChanged => "password_changed",
            Self::PasswordSet => "password_set",
        }
    }
}
