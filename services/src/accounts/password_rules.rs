//! What a new password must be (NIST 800-63B-4): long, and not one that guessers try first. There are no
//! rules on kinds of characters and passwords never expire.
//!
//! With a minimum of fifteen characters a list of whole passwords would catch little: what people then
//! choose is common words, keyboard walks and years put together. So everything common is taken out of
//! the password, and what remains has to be a password of its own.

use std::collections::HashSet;

use zeroize::Zeroize as _;

use super::password::Password;

/// Fewest characters (Unicode scalar values) where the password is the only factor: NIST 800-63B-4 §3.1.1.
pub const MINIMUM_PASSWORD_CHARACTERS: usize = 15;

/// Longest password in bytes. Longer ones are refused before they are hashed.
pub const MAXIMUM_PASSWORD_BYTES: usize = 1024;

/// Characters that must remain once everything common is taken out: NIST's minimum beside a second factor.
const MINIMUM_UNCOMMON: usize = 8;

/// Different characters that must be among those that remain.
const MINIMUM_DIFFERENT: usize = 5;

/// Shortest run of a sequence or of a keyboard row that counts as common.
const WALK: usize = 4;

/// Shortest word of an e-mail address or a name that is taken out.
const SHORTEST_KNOWN: usize = 3;

/// Common passwords and the words they are made of, lower case, one on each line.
const COMMON: &str = include_str!("common_passwords.txt");

/// Words about this server that a guesser puts in front of everything else.
const PRODUCT: [&str; 5] = ["flagstone", "feature", "featureflag", "flag", "localhost"];

/// Ways fingers walk over a keyboard; each counts backwards as well.
const WALKS: [&str; 9] = [
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "qazwsxedcrfvtgbyhnujmikolp",
];

/// Why a password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Fewer than [`MINIMUM_PASSWORD_CHARACTERS`].
    #[error(
        "the password has fewer than {MINIMUM_PASSWORD_CHARACTERS} characters; a few unrelated words make a good one"
    )]
    TooShort,
    /// More than [`MAXIMUM_PASSWORD_BYTES`].
    #[error("the password has more than {MAXIMUM_PASSWORD_BYTES} bytes")]
    TooLong,
    /// Little is left of it without common words, sequences, repetitions, the e-mail address and the name.
    #[error(
        "the password is mostly common words, sequences, repetitions or parts of the e-mail address or name; \
         add words that nobody would guess"
    )]
    TooCommon,
}

impl PasswordFault {
    /// A stable code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort => "password_too_short",
            Self::TooLong => "password_too_long",
            Self::TooCommon => "password_too_common",
        }
    }
}

/// Checks a new password, in the form in which it is hashed. `about` is what is known of its owner: e-mail address and name.
pub fn check_password(password: &str, about: &[&str]) -> Result<(), PasswordFault> {
    let password = Password::from(password);
    let password = password.reveal();
    if password.len() > MAXIMUM_PASSWORD_BYTES {
        return Err(PasswordFault::TooLong);
    }
    if password.chars().count() < MINIMUM_PASSWORD_CHARACTERS {
        return Err(PasswordFault::TooShort);
    }
    let mut letters = Letters::read(password);
    letters.take_out_walks();
    let known = about.iter().flat_map(|text| words(text)).collect::<Vec<_>>();
    for word in COMMON.lines().chain(PRODUCT).chain(known.iter().map(String::as_str)) {
        letters.take_out(word);
    }
    letters.take_out_repetitions();
    let (uncommon, different) = letters.remaining();
    if uncommon < MINIMUM_UNCOMMON || different < MINIMUM_DIFFERENT {
        return Err(PasswordFault::TooCommon);
    }
    Ok(())
}

/// The words of an e-mail address or a name that are long enough to matter.
fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| word.chars().count() >= SHORTEST_KNOWN)
        .map(str::to_owned)
        .collect()
}

/// A password's characters in lower case, in which common parts get marked. They are overwritten when it is dropped.
struct Letters {
    /// As typed.
    plain: Vec<char>,
    /// With the figures and signs that stand for letters read as those letters.
    spoken: Vec<char>,
    common: Vec<bool>,
    /// Different signs that merely separate the others.
    separators: usize,
}

impl Letters {
    fn read(password: &str) -> Self {
        let mut lower = password.to_lowercase();
        let (plain, separators): (Vec<char>, Vec<char>) =
            lower.chars().partition(|&character| spoken(character).is_alphanumeric());
        lower.zeroize();
        Self {
            spoken: plain.iter().map(|&character| spoken(character)).collect(),
            common: vec![false; plain.len()],
            plain,
            separators: separators.into_iter().collect::<HashSet<_>>().len(),
        }
    }

    /// Marks every place where `word` stands, as typed or as spoken.
    fn take_out(&mut self, word: &str) {
        let word = word.chars().collect::<Vec<_>>();
        let spoken_word = word.iter().map(|&character| spoken(character)).collect::<Vec<_>>();
        for (text, word) in [(&self.plain, &word), (&self.spoken, &spoken_word)] {
            for (start, window) in text.windows(word.len().max(1)).enumerate() {
                if window == word.as_slice() {
                    mark(&mut self.common, start, word.len());
                }
            }
        }
    }

    /// Marks runs such as `1234`, `dcba`, `aaaa` and `qwer`.
    fn take_out_walks(&mut self) {
        let walks = WALKS
            .iter()
            .flat_map(|walk| [walk.chars().collect::<Vec<_>>(), walk.chars().rev().collect()])
            .collect::<Vec<_>>();
        for (start, window) in self.plain.windows(WALK).enumerate() {
            if is_sequence(window) || walks.iter().any(|walk| walk.windows(WALK).any(|part| part == window)) {
                mark(&mut self.common, start, WALK);
            }
        }
    }

    /// Marks everything after the first turn where the whole is one part over and over.
    fn take_out_repetitions(&mut self) {
        let length = self.plain.len();
        let period = (1..=length / 2).find(|&period| {
            self.plain.iter().skip(period).zip(&self.plain).all(|(later, earlier)| later == earlier)
        });
        if let Some(period) = period {
            mark(&mut self.common, period, length - period);
        }
    }

    /// How many characters are left, and how many different ones.
    fn remaining(&self) -> (usize, usize) {
        let left = || self.plain.iter().zip(&self.common).filter(|&(_, &common)| !common);
        let different = left().map(|(character, _)| character).collect::<HashSet<_>>().len();
        (left().count() + self.separators, different + self.separators)
    }
}

impl Drop for Letters {
    fn drop(&mut self) {
        self.plain.zeroize();
        self.spoken.zeroize();
    }
}

fn mark(common: &mut [bool], start: usize, length: usize) {
    common.iter_mut().skip(start).take(length).for_each(|mark| *mark = true);
}

/// Whether the characters follow one another in steps of one, up or down, or are all the same.
fn is_sequence(window: &[char]) -> bool {
    let steps = window.windows(2).map(|pair| match pair {
        [first, second] => i64::from(u32::from(*second)) - i64::from(u32::from(*first)),
        _ => 0,
    });
    let steps = steps.collect::<Vec<_>>();
    steps.first().is_some_and(|first| first.abs() <= 1 && steps.iter().all(|step| step == first))
}

/// The letter a figure or sign commonly stands for.
fn spoken(character: char) -> char {
    match character {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: [&str; 2] = ["marianne.keller@lighthouse.example", "Marianne Keller"];

    #[track_caller]
    fn refused(password: &str, fault: PasswordFault) {
        assert_eq!(check_password(password, &ABOUT), Err(fault), "{password}");
    }

    #[test]
    fn passphrases_and_random_passwords_pass() {
        for password in [
            "violin gravel otter seventeen",
            "Mq8#vT2!zLp0&cXw",
            "493018265719384056",
            "пароль-зимой-не-нужен",
            "kT;[w^)}/,.=]'~",
            "the dragon borrowed my umbrella",
        ] {
            assert_eq!(check_password(password, &ABOUT), Ok(()), "{password}");
        }
    }

    #[test]
    fn length_counts_characters_below_and_bytes_above() {
        refused("violin gravel ", PasswordFault::TooShort);
        refused("зимой не нужен", PasswordFault::TooShort);
        // Fourteen letters, of which two are typed as three code points each.
        refused("e\u{323}\u{302}veningfale\u{323}\u{302}nr", PasswordFault::TooShort);
        refused("", PasswordFault::TooShort);
        let longest =
            "violin gravel otter ".repeat(52).chars().take(MAXIMUM_PASSWORD_BYTES).collect::<String>();
        assert_eq!(check_password(&longest, &ABOUT), Ok(()));
        refused(&format!("{longest}x"), PasswordFault::TooLong);
        refused(&"я".repeat(513), PasswordFault::TooLong);
    }

    #[test]
    fn common_passwords_are_refused_however_they_are_stretched() {
        for password in [
            "passwordpassword",
            "P@ssw0rd-P@$$word-2025",
            "p-a-s-s-w-o-r-d-1-2-3",
            "Welcome12345678!",
            "administrator123",
            "changemechangeme",
            "correct horse battery staple",
            "trustno1trustno1",
        ] {
            refused(password, PasswordFault::TooCommon);
        }
    }

    #[test]
    fn sequences_walks_and_repetitions_are_refused() {
        for password in [
            "123456789012345",
            "abcdefghijklmnopqrstuvwxyz",
            "zyxwvutsrqponmlk",
            "aaaaaaaaaaaaaaaaaaaa",
            "qwertyuiopasdfghjkl",
            "poiuytrewqlkjhgfdsa",
            "1qaz2wsx3edc4rfv",
            "xkqxkqxkqxkqxkqxkq",
            "tulip7tulip7tulip7tu",
            "abababababababababab",
            "!!!!!!!!!!!!!!!!!!!!",
            "               ",
        ] {
            refused(password, PasswordFault::TooCommon);
        }
    }

    #[test]
    fn what_is_known_of_the_owner_and_of_the_server_does_not_count() {
        refused("Marianne-Keller-77", PasswordFault::TooCommon);
        refused("lighthouse-keller!", PasswordFault::TooCommon);
        refused("flagstone-feature-x9", PasswordFault::TooCommon);
        assert_eq!(check_password("Marianne-Keller-77", &[]), Ok(()), "unknown of another owner");
    }

    #[test]
    fn the_list_is_lower_case_sorted_and_without_doubles() {
        let lines = COMMON.lines().collect::<Vec<_>>();
        assert!(lines.is_sorted_by(|one, next| one < next));
        assert!(lines.iter().all(|line| line.len() >= 4 && line.chars().all(char::is_alphanumeric)));
        assert!(lines.iter().all(|line| *line == line.to_lowercase()));
    }
}
