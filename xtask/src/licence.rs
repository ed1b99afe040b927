//! SPDX licence expressions, as far as `Cargo.toml` uses them.

/// Whether the licences in `allowed` suffice for `expression`, such as `(MIT OR Apache-2.0) AND Unicode-3.0`.
/// A slash means `OR`, as old packages write it. An expression that cannot be read is satisfied by nothing.
pub(crate) fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, allowed };
    reader.either() == Some(true) && reader.words.is_empty()
}

struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl Reader<'_> {
    fn either(&mut self) -> Option<bool> {
        let mut satisfied = self.both()?;
        while self.takes("OR") {
            satisfied |= self.both()?;
        }
        Some(satisfied)
    }

    fn both(&mut self) -> Option<bool> {
        let mut satisfied = self.one()?;
        while self.takes("AND") {
            satisfied &= self.one()?;
        }
        Some(satisfied)
    }

    fn one(&mut self) -> Option<bool> {
        if self.takes("(") {
            let satisfied = self.either()?;
            return self.takes(")").then_some(satisfied);
        }
        let mut name = self.next()?.to_owned();
        if self.takes("WITH") {
            name = format!("{name} WITH {}", self.next()?);
        }
        Some(self.allowed.contains(&name))
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.next();
        }
        found
    }

    fn next(&mut self) -> Option<&str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(expression: &str) -> bool {
        satisfied(expression, &["MIT".to_owned(), "Unicode-3.0".to_owned()])
    }

    #[test]
    fn one_of_the_alternatives_suffices() {
        assert!(holds("MIT"));
        assert!(holds("Apache-2.0 OR MIT"));
        assert!(holds("Unlicense/MIT"));
        assert!(holds("Apache-2.0 / MIT"));
        assert!(holds("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"));
        assert!(!holds("Apache-2.0 OR GPL-3.0"));
    }

    #[test]
    fn all_of_a_conjunction_are_needed() {
        assert!(holds("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!holds("MIT AND BSD-3-Clause"));
        // AND binds closer than OR.
        assert!(holds("MIT OR GPL-3.0 AND BSD-3-Clause"));
        assert!(!holds("(MIT OR GPL-3.0) AND BSD-3-Clause"));
    }

    #[test]
    fn an_exception_makes_another_licence_of_it() {
        assert!(!holds("MIT WITH LLVM-exception"));
    }

    #[test]
    fn what_cannot_be_read_is_not_satisfied() {
        for expression in ["", "MIT OR", "(MIT", "MIT)", "MIT MIT", "OR MIT", "MIT WITH"] {
            assert!(!holds(expression), "{expression}");
        }
    }
}
