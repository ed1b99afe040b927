//! Path patterns: `/x/{id}` and `/x/{*rest}`, which covers `/x` and all below it.

use std::cmp::Ordering;

/// A path with parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// Text around a parameter: `{name}.json`.
    Around {
        before: String,
        after: String,
    },
    Parameter,
    /// All that follows, and nothing.
    CatchAll,
}

/// A pattern and the names of its parameters.
pub(crate) struct Parsed<'p> {
    pub(crate) pattern: Pattern,
    /// The names, a catch-all's with its star.
    pub(crate) parameters: Vec<&'p str>,
}

// === impl Pattern ===

impl Pattern {
    /// Reads a pattern; says what is wrong with it otherwise.
    pub(crate) fn parse(path: &str) -> Result<Parsed<'_>, &'static str> {
        let Some(path) = path.strip_prefix('/') else { return Err("a path begins with `/`") };
        if path.contains(['?', '#']) {
            return Err("a path has no query and no fragment");
        }
        if path.chars().any(|c| c.is_control() || c == ' ') {
            return Err("a path has no blanks and no control characters");
        }
        let mut parsed = Parsed { pattern: Self { segments: Vec::new() }, parameters: Vec::new() };
        if path.is_empty() {
            return Ok(parsed);
        }
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            if segment.is_empty() && !last {
                return Err("a path has no empty segment");
            }
            let segment = Segment::parse(segment, &mut parsed.parameters)?;
            if segment == Segment::CatchAll && !last {
                return Err("nothing follows `{*…}`");
            }
            parsed.pattern.segments.push(segment);
        }
        let mut names: Vec<_> = parsed.parameters.iter().map(|name| name.trim_start_matches('*')).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err("two of its parameters have the same name");
        }
        Ok(parsed)
    }

    /// A handler's own pattern. What is no parameter there is text.
    pub(crate) fn of_handler(path: &str) -> Self {
        match Self::parse(path) {
            Ok(parsed) => parsed.pattern,
            Err(_) => Self {
                segments: path
                    .trim_start_matches('/')
                    .split('/')
                    .map(|text| Segment::Literal(text.to_owned()))
                    .collect(),
            },
        }
    }

    /// Whether every path of the other is one of this.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let mut others = other.segments.iter();
        for segment in &self.segments {
            if *segment == Segment::CatchAll {
                return true;
            }
            if !others.next().is_some_and(|other| segment.covers(other)) {
                return false;
            }
        }
        others.next().is_none()
    }

    /// Whether some path is one of both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (mut these, mut those) = (self.segments.iter(), other.segments.iter());
        loop {
            match (these.next(), those.next()) {
                (Some(Segment::CatchAll), _) | (_, Some(Segment::CatchAll)) => return true,
                (Some(this), Some(that)) if this.overlaps(that) => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    pub(crate) fn ends_in_catch_all(&self) -> bool {
        self.segments.last() == Some(&Segment::CatchAll)
    }

    /// Of two patterns that cover one path, the more specific is the greater: segment by segment, text before a
    /// parameter before a catch-all.
    pub(crate) fn specificity(&self, other: &Self) -> Ordering {
        let (mut these, mut those) = (self.segments.iter(), other.segments.iter());
        loop {
            let rank = |segment: Option<&Segment>| segment.map_or(Segment::END, Segment::rank);
            let (this, that) = (these.next(), those.next());
            if this.is_none() && that.is_none() {
                return Ordering::Equal;
            }
            match rank(this).cmp(&rank(that)) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
    }
}

// === impl Segment ===

impl Segment {
    /// The rank of a path's end: `/x` is more specific than `/x/{*rest}`.
    const END: usize = 1;

    fn parse<'p>(segment: &'p str, parameters: &mut Vec<&'p str>) -> Result<Self, &'static str> {
        let Some((before, rest)) = segment.split_once('{') else {
            return if segment.contains('}') {
                Err("a `}` without its `{`")
            } else {
                Ok(Self::Literal(segment.to_owned()))
            };
        };
        let Some((name, after)) = rest.split_once('}') else { return Err("a `{` without its `}`") };
        if before.contains('}') || after.contains(['{', '}']) {
            return Err("a segment has one parameter at most");
        }
        if name.trim_start_matches('*').is_empty() || name.contains('{') {
            return Err("a parameter has a name");
        }
        parameters.push(name);
        match (name.starts_with('*'), before, after) {
            (true, "", "") => Ok(Self::CatchAll),
            (true, ..) => Err("`{*…}` stands alone in its segment"),
            (false, "", "") => Ok(Self::Parameter),
            (false, ..) => Ok(Self::Around { before: before.to_owned(), after: after.to_owned() }),
        }
    }

    fn rank(&self) -> usize {
        match self {
            Self::CatchAll => 0,
            Self::Parameter => 2,
            Self::Around { .. } => 3,
            Self::Literal(_) => 4,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::CatchAll, _) => true,
            (_, Self::CatchAll) => false,
            (Self::Parameter, Self::Literal(text)) => !text.is_empty(),
            (Self::Parameter, _) => true,
            (Self::Around { before, after }, Self::Literal(text)) => holds(text, before, after),
            (this, other) => this == other,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(this), Self::Literal(that)) => this == that,
            (Self::Around { before, after }, Self::Literal(text))
            | (Self::Literal(text), Self::Around { before, after }) => holds(text, before, after),
            (Self::Parameter, Self::Literal(text)) | (Self::Literal(text), Self::Parameter) => {
                !text.is_empty()
            }
            _ => true,
        }
    }
}

/// Whether a text is a parameter's, between these.
fn holds(text: &str, before: &str, after: &str) -> bool {
    text.len() > before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(path: &str) -> Pattern {
        Pattern::parse(path).unwrap_or_else(|fault| panic!("{path}: {fault}")).pattern
    }

    #[test]
    fn a_catch_all_covers_its_base_and_all_below() {
        for path in ["/x", "/x/y", "/x/{id}", "/x/{id}/z", "/x/{*rest}"] {
            assert!(pattern("/x/{*rest}").covers(&pattern(path)), "{path}");
        }
        for path in ["/", "/xy", "/{id}", "/{*rest}"] {
            assert!(!pattern("/x/{*rest}").covers(&pattern(path)), "{path}");
        }
        assert!(pattern("/{*rest}").covers(&pattern("/")));
    }

    #[test]
    fn text_does_not_cover_a_parameter() {
        assert!(!pattern("/users/me").covers(&pattern("/users/{id}")));
        assert!(pattern("/users/{any}").covers(&pattern("/users/me")));
        assert!(pattern("/users/{any}").covers(&pattern("/users/{id}")));
        assert!(!pattern("/users/{any}").covers(&pattern("/users")));
        assert!(pattern("/{name}.json").covers(&pattern("/openapi.json")));
        assert!(!pattern("/{name}.json").covers(&pattern("/openapi.yaml")));
    }

    #[test]
    fn the_more_specific_is_greater() {
        let descending = ["/x/y", "/x/{name}.json", "/x/{id}", "/x/{*rest}", "/{*rest}"];
        for (index, more) in descending.iter().enumerate() {
            for less in descending.iter().skip(index + 1) {
                assert_eq!(pattern(more).specificity(&pattern(less)), Ordering::Greater, "{more} {less}");
            }
        }
        assert_eq!(pattern("/x").specificity(&pattern("/x/{*rest}")), Ordering::Greater);
        assert_eq!(pattern("/x/{a}").specificity(&pattern("/x/{b}")), Ordering::Equal);
    }

    #[test]
    fn patterns_overlap_where_one_path_is_of_both() {
        assert!(pattern("/users/{id}").overlaps(&pattern("/users/me")));
        assert!(pattern("/{*rest}").overlaps(&pattern("/users/me")));
        assert!(!pattern("/users/{id}").overlaps(&pattern("/users")));
        assert!(!pattern("/a/{x}").overlaps(&pattern("/b/{x}")));
    }

    #[test]
    fn faults_are_named() {
        for path in [
            "", "x", "/a//b", "/{", "/}", "/{}", "/{*}", "/{*a}/b", "/{a}{b}", "/{a}/{a}", "/a?b", "/a b",
            "/x{*a}",
        ] {
            assert!(Pattern::parse(path).is_err(), "{path}");
        }
    }
}
