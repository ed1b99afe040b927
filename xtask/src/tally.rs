//! Counting tests from what the test runners print.

use std::fmt;
use std::ops::AddAssign;

/// Tests that passed and tests that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

/// How a test runner reports.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reports {
    /// `cargo test`: `test result: ok. 3 passed; 0 failed; …` for each binary.
    Libtest,
    /// `node --test --test-reporter=tap`: `# pass 3`, `# fail 0`, `# cancelled 0`.
    Tap,
    /// Python's `unittest`: `Ran 3 tests in …`, then `OK` or `FAILED (failures=1, errors=1)`.
    Unittest,
    /// schemathesis: `Tested: 45` operations, then `5180 generated, 12 found 2 unique failures`.
    Schemathesis,
}

impl Tally {
    /// Adds what one line of output reports.
    pub(crate) fn read(&mut self, reports: Reports, line: &str) {
        match reports {
            Reports::Libtest => {
                if line.starts_with("test result:") {
                    self.passed += number_before(line, " passed;");
                    self.failed += number_before(line, " failed;");
                }
            }
            Reports::Tap => {
                self.passed += number_after(line, "# pass ");
                self.failed += number_after(line, "# fail ") + number_after(line, "# cancelled ");
            }
            Reports::Unittest => {
                self.passed += number_after(line, "Ran ");
                if let Some(counts) = line.strip_prefix("FAILED (") {
                    let failed = ["failures=", "errors=", "unexpected successes="]
                        .iter()
                        .filter_map(|name| counts.split_once(name))
                        .map(|(_, count)| leading_number(count))
                        .sum();
                    self.failed += failed;
                    // An error outside the tests fails without having been counted as run.
                    self.passed = self.passed.saturating_sub(failed);
                }
            }
            Reports::Schemathesis => {
                self.passed += number_after(line.trim_start(), "Tested: ");
                let failed = number_before(line, " unique failure");
                self.failed += failed;
                self.passed = self.passed.saturating_sub(failed);
            }
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

fn number_before(line: &str, name: &str) -> u64 {
    line.split_once(name).and_then(|(before, _)| before.rsplit(' ').next()).map_or(0, leading_number)
}

fn number_after(line: &str, name: &str) -> u64 {
    line.strip_prefix(name).map_or(0, leading_number)
}

fn leading_number(text: &str) -> u64 {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(reports: Reports, output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.read(reports, line));
        tally
    }

    #[test]
    fn libtest_sums_over_binaries() {
        let output = "\
running 2 tests
test a ... ok
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: \u{1b}[31mFAILED\u{1b}[0m. 11 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out
";
        assert_eq!(tally(Reports::Libtest, output), Tally { passed: 13, failed: 3 });
    }

    #[test]
    fn tap_counts_cancelled_tests_as_failed() {
        let output = "# tests 12\n# pass 9\n# fail 2\n# cancelled 1\n# skipped 0\n    # pass 4\n";
        assert_eq!(tally(Reports::Tap, output), Tally { passed: 9, failed: 3 });
    }

    #[test]
    fn unittest_splits_what_ran() {
        assert_eq!(tally(Reports::Unittest, "Ran 10 tests in 0.8s\n\nOK\n"), Tally { passed: 10, failed: 0 });
        let failed = "Ran 10 tests in 0.8s\n\nFAILED (failures=1, errors=2)\n";
        assert_eq!(tally(Reports::Unittest, failed), Tally { passed: 7, failed: 3 });
        let nothing_ran = "Ran 0 tests in 0.0s\n\nFAILED (errors=1)\n";
        assert_eq!(tally(Reports::Unittest, nothing_ran), Tally { passed: 0, failed: 1 });
    }

    #[test]
    fn schemathesis_counts_operations() {
        let output = "    Tested: 45\n\nTest cases:\n  5104 generated, 5104 passed, 133 skipped\n";
        assert_eq!(tally(Reports::Schemathesis, output), Tally { passed: 45, failed: 0 });
        let output = "    Tested: 45\n\n  5180 generated, 12 found 2 unique failures, 141 skipped\n";
        assert_eq!(tally(Reports::Schemathesis, output), Tally { passed: 43, failed: 2 });
    }
}
